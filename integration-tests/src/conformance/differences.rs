//! The known differences: which implementation fails which check, who is right, and why.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::Service;

/// Why an implementation fails a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The check.
    pub check: String,
    /// Who fails it: `kinesis-local`, `DynamoDB Local` or `dynoxide`.
    pub who: String,
    /// Who is right, a word: `reference`, an implementation, or `open` where the reference can be read both ways.
    pub right: String,
    /// In words.
    pub reason: String,
}

/// The committed list.
#[derive(Debug, Clone, Default)]
pub struct Differences(BTreeMap<(String, String), Difference>);

impl Differences {
    /// The list in `testdata/conformance/differences.txt`.
    ///
    /// # Errors
    ///
    /// When a line is not one, names a check that there is not, or stands there twice.
    pub fn committed() -> Result<Self> {
        Self::parse(include_str!("../../testdata/conformance/differences.txt"))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut all = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let difference = Difference::parse(line).with_context(|| line.to_owned())?;
            let key = (difference.who.clone(), difference.check.clone());
            ensure!(all.insert(key, difference).is_none(), "twice: {line}");
        }
        Ok(Self(all))
    }

    /// The one of a check and an implementation.
    pub fn find(&self, who: &str, check: &str) -> Option<&Difference> {
        self.0.get(&(who.to_owned(), check.to_owned()))
    }

    /// All of one implementation, by check.
    pub fn of(&self, who: &str) -> impl Iterator<Item = &Difference> {
        self.0.values().filter(move |difference| difference.who == who)
    }
}

impl Difference {
    fn parse(line: &str) -> Result<Self> {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [check, who, right, reason] = columns[..] else { bail!("not `check | who | right | reason`") };
        let service = [Service::Kinesis, Service::DynamoDb]
            .into_iter()
            .find(|service| service.peer() == who || service.ours() == who);
        let service = service.context("no such implementation")?;
        ensure!(service.checks().any(|known| known.name == check), "no such check");
        ensure!(["reference", "open", service.ours(), service.peer()].contains(&right), "who is right?");
        ensure!(!reason.is_empty(), "a difference needs a reason");
        Ok(Self { check: check.into(), who: who.into(), right: right.into(), reason: reason.into() })
    }
}
