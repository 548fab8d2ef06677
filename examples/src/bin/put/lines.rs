//! Lines of standard input, as they come and however long they are.

use std::io::{self, BufRead, BufReader, Read};

use tokio::sync::mpsc;

/// A line without its line feed, or the beginning of one that is too long for any record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    bytes: Vec<u8>,
    /// Its whole length.
    len: usize,
}

/// Why a line is no record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("no TAB: a line is KEY TAB DATA")]
    NoTab,
    #[error("the key is not UTF-8")]
    KeyNotUtf8,
    #[error("data and partition key are {bytes} bytes, but the stream takes {limit}")]
    TooLarge { bytes: usize, limit: usize },
}

impl Line {
    /// Key and data: the first TAB splits.
    pub(crate) fn parts(&self) -> Result<(&str, &[u8]), Unfit> {
        if self.len > self.bytes.len() {
            // The TAB is in neither key nor data.
            return Err(Unfit::TooLarge { bytes: self.len - 1, limit: self.bytes.len() - 1 });
        }
        let tab = self.bytes.iter().position(|byte| *byte == b'\t').ok_or(Unfit::NoTab)?;
        let key = std::str::from_utf8(&self.bytes[..tab]).map_err(|_| Unfit::KeyNotUtf8)?;
        Ok((key, &self.bytes[tab + 1..]))
    }

    /// What stands before the TAB, for a person.
    pub(crate) fn shown_key(&self) -> Option<String> {
        let tab = self.bytes.iter().position(|byte| *byte == b'\t')?;
        Some(String::from_utf8_lossy(&self.bytes[..tab]).into_owned())
    }

    /// The key, if it will be asked for.
    pub(crate) fn key_if(&self, wanted: bool) -> Option<String> {
        self.shown_key().filter(|_| wanted)
    }
}

/// Reads on a thread of its own: a blocked read must keep neither the records under way nor the end of the process waiting.
pub(crate) struct Lines {
    batches: mpsc::Receiver<io::Result<Vec<Line>>>,
    ready: std::vec::IntoIter<Line>,
}

impl Lines {
    pub(crate) fn of_standard_input(max_record_bytes: usize) -> Self {
        Self::of(io::stdin(), max_record_bytes)
    }

    fn of(input: impl Read + Send + 'static, max_record_bytes: usize) -> Self {
        // A batch ahead is enough to keep both sides busy.
        let (sender, batches) = mpsc::channel(1);
        std::thread::spawn(move || {
            read_all(BufReader::with_capacity(READ_BYTES, input), max_record_bytes + 1, &sender)
        });
        Self { batches, ready: Vec::new().into_iter() }
    }

    /// The next line, `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.ready.next() {
                return Ok(Some(line));
            }
            match self.batches.recv().await.transpose()? {
                Some(batch) => self.ready = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

fn read_all(mut input: BufReader<impl Read>, keep: usize, sender: &mpsc::Sender<io::Result<Vec<Line>>>) {
    loop {
        match read_batch(&mut input, keep) {
            Ok(batch) if batch.is_empty() => return,
            result => {
                let failed = result.is_err();
                // Nobody takes lines any more once the program was told to stop.
                if sender.blocking_send(result).is_err() || failed {
                    return;
                }
            }
        }
    }
}

/// Waits for one line, then takes those that came with it. Empty at the end of the input.
fn read_batch(input: &mut BufReader<impl Read>, keep: usize) -> io::Result<Vec<Line>> {
    let mut batch = Vec::new();
    while let Some(line) = read_line(input, keep)? {
        batch.push(line);
        // Another look could block, with these lines in hand.
        if !input.buffer().contains(&b'\n') {
            break;
        }
    }
    Ok(batch)
}

fn read_line(input: &mut impl BufRead, keep: usize) -> io::Result<Option<Line>> {
    let mut line = Line { bytes: Vec::new(), len: 0 };
    let mut any = false;
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.len += part.len();
        line.bytes.extend_from_slice(&part[..part.len().min(keep - line.bytes.len())]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

const READ_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &'static [u8], max_record_bytes: usize) -> Vec<String> {
        let mut lines = Lines::of(input, max_record_bytes);
        let mut shown = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            shown.push(match line.parts() {
                Ok((key, data)) => format!("{key}={}", data.escape_ascii()),
                Err(unfit) => unfit.to_string(),
            });
        }
        shown
    }

    #[tokio::test]
    async fn the_first_tab_splits_and_only_the_line_feed_goes() {
        let lines = read(b"k\ta\tb\r\n\tx\nk\t\nno tab\n\n\xff\tx\nlast\t\xff\x00", 100).await;
        let no_tab = "no TAB: a line is KEY TAB DATA";
        let expected = ["k=a\\tb\\r", "=x", "k=", no_tab, no_tab, "the key is not UTF-8", "last=\\xff\\x00"];
        assert_eq!(lines, expected);
        assert!(read(b"", 100).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_too_long_is_told_by_its_length_and_not_kept() {
        let lines = read(b"k\t123456789\nk\t1234567890\nk\t1\n", 10).await;
        assert_eq!(lines, ["k=123456789", "data and partition key are 11 bytes, but the stream takes 10", "k=1"]);
    }
}
