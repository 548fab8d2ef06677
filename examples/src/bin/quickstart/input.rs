//! Where the lines come from: a file, standard input, or a generated clickstream.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The source of lines.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Lines of a file; `-` is standard input.
    File(PathBuf),
    /// That many generated events.
    Generated(u64),
}

/// One line and the key that it is put under.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) key: String,
    pub(crate) data: Vec<u8>,
}

impl Input {
    /// Opens the source, so that a missing or empty file is known before anything is written.
    pub(crate) fn open(&self) -> anyhow::Result<Lines> {
        match self {
            Self::Generated(events) => Ok(Lines { source: Source::Generated { next: 0, events: *events } }),
            Self::File(path) => {
                let from: Box<dyn Read + Send> = if path.as_os_str() == "-" {
                    Box::new(std::io::stdin())
                } else {
                    Box::new(std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
                };
                let mut reader = BufReader::with_capacity(1 << 16, from);
                let first = reader.fill_buf().with_context(|| format!("cannot read {}", path.display()))?;
                ensure!(!first.is_empty(), "{} is empty: there is nothing to write", path.display());
                Ok(Lines { source: Source::Reader { reader, number: 0 } })
            }
        }
    }
}

/// The lines of an opened source.
pub(crate) struct Lines {
    source: Source,
}

enum Source {
    Generated { next: u64, events: u64 },
    Reader { reader: BufReader<Box<dyn Read + Send>>, number: u64 },
}

impl Lines {
    /// How many lines there will be, where that is known.
    pub(crate) const fn expected(&self) -> Option<u64> {
        match self.source {
            Source::Generated { events, .. } => Some(events),
            Source::Reader { .. } => None,
        }
    }

    /// The next line without its line feed. Only the line feed goes: a carriage return is data.
    pub(crate) fn next_line(&mut self) -> anyhow::Result<Option<Line>> {
        match &mut self.source {
            Source::Generated { next, events } => {
                if next == events {
                    return Ok(None);
                }
                *next += 1;
                Ok(Some(click(*next)))
            }
            Source::Reader { reader, number } => {
                let mut data = Vec::new();
                if reader.read_until(b'\n', &mut data).context("reading the input failed")? == 0 {
                    return Ok(None);
                }
                if data.last() == Some(&b'\n') {
                    data.pop();
                }
                *number += 1;
                Ok(Some(Line { key: format!("line-{number}"), data }))
            }
        }
    }
}

/// A click of one of 5 000 users, as a web shop would log it; the same number always gives the same event.
fn click(number: u64) -> Line {
    // The finaliser of SplitMix64: neighbouring numbers give unrelated bits.
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 27;
    let user = bits % 5_000;
    let page = ["/", "/search", "/item", "/cart", "/checkout"][usize::try_from(bits >> 32).unwrap_or(0) % 5];
    let (item, took_ms) = ((bits >> 20) % 90_000, (bits >> 40) % 800);
    let data = format!(
        r#"{{"event":{number},"user":"user-{user}","page":"{page}","item":{item},"took_ms":{took_ms},"agent":"Mozilla/5.0"}}"#
    );
    Line { key: format!("user-{user}"), data: data.into_bytes() }
}
