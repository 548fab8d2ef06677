//! Protocol scripts: a scenario as a short text, and beside each of its lines the trace of what that caused.
//!
//! ```text
//! stream 2                       a comment starts with #, what is indented is trace
//! worker a
//! put 10
//! expect all done within 2s
//!        0.0  a        0-1  lease made
//!        0.1  a          0  reads #0-4
//! ```
//!
//! ```text
//!  script ──▶ commands ──▶ stage: real producer, real workers, real SDK, a cloud in virtual time
//!                            │
//!                            ├──▶ trace: what a reader cares about, compared with the script's own
//!                            └──▶ expectations in between, and all oracles of the simulator at the end
//! ```
//!
//! The trace shows owners, ends of shards, hand-offs, deliveries and checkpoints as ranges of puts, and calls that went
//! wrong. It leaves out renewals, counters and calls that went well, so that it changes when behaviour does. The
//! expectations are no part of it: a new trace cannot hide a broken promise.

mod command;
mod dates;
mod expect;
mod lines;
mod mixed_up;
mod operator;
mod ranges;
mod script;
mod stage;
mod trace;
mod user_code;
mod workers;
mod writer;

use std::fmt;

use self::command::Command;
use self::script::Script;
use self::stage::Stage;

/// Why a script has no trace.
#[derive(Debug)]
pub struct Failure {
    /// The script as far as it came, with its trace.
    pub so_far: String,
    /// What was wrong, and in which line.
    pub why: String,
}

/// Plays a script and returns it with the trace of this run, in a runtime of its own with a paused clock.
///
/// # Errors
///
/// When a line is none of the language, an expectation is not met, or a promise is broken.
pub fn play(text: &str) -> Result<String, Failure> {
    let failure = |why: String| Failure { so_far: String::new(), why };
    let script = Script::parse(text).map_err(failure)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime without sockets");
    runtime.block_on(perform(script))
}

async fn perform(script: Script) -> Result<String, Failure> {
    let mut told = String::new();
    let mut stage: Option<Stage> = None;
    for line in script.lines {
        told += &line.text;
        told.push('\n');
        let result = match (&mut stage, line.command) {
            (_, None) => Ok(()),
            (None, Some(Command::Stream(shards))) => {
                stage = Some(Stage::new(shards).await);
                Ok(())
            }
            (None, Some(_)) => Err("the first command makes the stream".to_owned()),
            (Some(stage), Some(command)) => stage.perform(command, &line.text).await,
        };
        if let Some(stage) = &mut stage {
            told += &stage.trace();
        }
        result.map_err(|why| Failure { so_far: told.clone(), why: format!("line {}: {why}", line.number) })?;
    }
    let broken = match stage {
        Some(stage) => stage.broken(&script.allowed),
        None => vec!["no command".to_owned()],
    };
    if broken.is_empty() { Ok(told) } else { Err(Failure { so_far: told, why: broken.join("\n") }) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n>>> {}", self.so_far, self.why)
    }
}
