//! The file that adds up what seeds were run, and how that ended.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::{fs, io};

/// Seeds and the promises that they broke; none: clean. A file of one line a seed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger(BTreeMap<u64, Vec<String>>);

impl Ledger {
    /// What the file says; nothing, where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no ledger.
    pub fn read(path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| io::Error::other(format!("{} is no ledger", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let (seed, verdict) = (words.next()?.parse().ok()?, words.next()?);
            let promises: Vec<_> = words.map(str::to_owned).collect();
            (promises.is_empty() == (verdict == "clean")).then_some((seed, promises))
        };
        text.lines().map(line).collect::<Option<_>>().map(Self)
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let line = |(seed, promises): (&u64, &Vec<String>)| match promises.is_empty() {
            true => format!("{seed} clean\n"),
            false => format!("{seed} failed {}\n", promises.join(" ")),
        };
        let new = path.with_extension("new");
        fs::write(&new, self.0.iter().map(line).collect::<String>())?;
        fs::rename(new, path)
    }

    /// Notes how a seed ended.
    pub fn note(&mut self, seed: u64, broken: &[&'static str]) {
        self.0.insert(seed, broken.iter().map(|promise| (*promise).to_owned()).collect());
    }

    /// What to run: all seeds that have failed, then the rest of those asked for.
    pub fn order(&self, asked: Range<u64>) -> Vec<u64> {
        let failed = |seed: &u64| self.0.get(seed).is_some_and(|promises| !promises.is_empty());
        let mut seeds: Vec<_> = self.0.keys().copied().filter(failed).collect();
        seeds.extend(asked.filter(|seed| !failed(seed)));
        seeds
    }

    /// How many seeds are clean, and how many have failed.
    pub fn totals(&self) -> (usize, usize) {
        let clean = self.0.values().filter(|promises| promises.is_empty()).count();
        (clean, self.0.len() - clean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_comes_first_and_a_file_says_it_again() {
        let mut ledger = Ledger::default();
        ledger.note(3, &[]);
        ledger.note(9, &["C1", "C2"]);
        ledger.note(4, &["P3"]);
        assert_eq!(ledger.order(2..6), [4, 9, 2, 3, 5]);
        let path = std::env::temp_dir().join(format!("sim-ledger-{}", std::process::id()));
        ledger.write(&path).expect("a file can be written");
        assert_eq!(Ledger::read(&path).expect("it was written"), ledger);
        fs::remove_file(&path).expect("it was written");
        assert_eq!(Ledger::read(&path).expect("no file is no ledger yet"), Ledger::default());
        assert_eq!(ledger.totals(), (1, 2));
        assert_eq!(Ledger::parse("7 clean C1\n"), None);
        assert_eq!(Ledger::parse("seven clean\n"), None);
    }
}
