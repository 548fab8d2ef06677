//! The text of a script as lines with commands.

use super::command::Command;

/// A script without its trace.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) lines: Vec<Line>,
    /// Promises that this scenario cannot keep, as its text says why.
    pub(super) allowed: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Line {
    /// From 1, in the file.
    pub(super) number: usize,
    pub(super) text: String,
    /// None for comments and empty lines.
    pub(super) command: Option<Command>,
}

impl Script {
    /// What is indented is the trace of an earlier run.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self { lines: Vec::new(), allowed: Vec::new() };
        for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.starts_with(' ')) {
            let words: Vec<_> = text.split('#').next().unwrap_or_default().split_whitespace().collect();
            let command = match &words[..] {
                [] => None,
                ["allow", promises @ ..] => {
                    script.allowed.extend(promises.iter().map(|promise| (*promise).to_owned()));
                    None
                }
                words => Some(Command::parse(words).map_err(|why| format!("line {}: {why}: {text}", at + 1))?),
            };
            script.lines.push(Line { number: at + 1, text: text.to_owned(), command });
        }
        Ok(script)
    }
}
