//! One JSON object a line on standard output; everything else on standard error.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// Standard output as lines of JSON. Clones share it; a line, or several printed together, are never torn.
#[derive(Clone, Debug)]
pub struct Output(Arc<Mutex<BufWriter<Stdout>>>);

impl Output {
    /// The process's standard output.
    #[must_use]
    pub fn stdout() -> Self {
        // A batch of records goes out in few writes.
        Self(Arc::new(Mutex::new(BufWriter::with_capacity(1 << 18, io::stdout()))))
    }

    /// Prints one object and flushes.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn print(&self, line: &impl Serialize) -> io::Result<()> {
        self.print_all([line])
    }

    /// Prints objects, one a line, and flushes once.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn print_all(&self, lines: impl IntoIterator<Item = impl Serialize>) -> io::Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// Sends log lines to standard error; `RUST_LOG` says which; by default warnings, without those of the search for credentials, whose end is told anyway.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,aws_config=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Resolves when the process is told to stop: Ctrl-C, or SIGTERM where there is such a thing.
pub async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! { biased;
                    _ = interrupt => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(error) => {
                eprintln!("SIGTERM cannot be listened for: {error}");
                let _interrupted = interrupt.await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _interrupted = interrupt.await;
    }
}
