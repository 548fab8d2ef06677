//! The conformance suite: what the API references of Kinesis and DynamoDB say, as checks through the real SDK clients.
//!
//! Each check is one sentence of a reference and one function that holds a service to it. They run against the test
//! kit's cloud in paused time (`cargo test`) and, with `just conformance`, against implementations that are not ours:
//! npm `kinesis-local` and DynamoDB Local. Where these differ, `testdata/conformance/differences.txt` says so and why;
//! `docs/conformance.md` is made from both.

mod dynamodb;
mod kinesis;

mod differences;
mod probe;
mod refusal;
mod report;
mod run;
mod stream;

use std::pin::Pin;

pub use self::differences::{Difference, Differences};
pub use self::probe::{Endpoint, Probe};
pub use self::report::{compare, page};
pub use self::run::{Outcome, again, against_endpoint, against_model};

/// One sentence of an API reference and the function that holds a service to it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The function's name: what is true, in words.
    pub name: &'static str,
    /// The page of the API reference: an operation, or a chapter of the developer guide.
    pub page: &'static str,
    /// What that page says.
    pub says: &'static str,
    /// Whether a service in real time can be asked.
    pub needs: Needs,
    run: Run,
}

type Run = fn(Probe) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What a check needs besides the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Minutes to days of time, so a paused clock.
    Hours,
    /// The service's rates and quotas, which the emulators do not have and a slow one would not reach.
    Rates,
}

/// Checks that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its heading.
    pub title: &'static str,
    /// In the order of the page.
    pub checks: &'static [Check],
}

/// One of the two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB.
    DynamoDb,
}

impl Service {
    /// Its checks.
    pub fn families(self) -> &'static [Family] {
        match self {
            Self::Kinesis => kinesis::FAMILIES,
            Self::DynamoDb => dynamodb::FAMILIES,
        }
    }

    /// All its checks in the order of the page.
    pub fn checks(self) -> impl Iterator<Item = &'static Check> {
        self.families().iter().flat_map(|family| family.checks)
    }

    /// Who answers in the test kit's cloud.
    pub fn ours(self) -> &'static str {
        match self {
            Self::Kinesis => "testkit",
            Self::DynamoDb => "dynoxide",
        }
    }

    /// The implementation of others that it is compared with.
    pub fn peer(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis-local",
            Self::DynamoDb => "DynamoDB Local",
        }
    }
}

/// `CHECKS`, the table of a family: the async function of a [`Probe`], the page, what it says, and what the check needs
/// besides the service, if anything.
macro_rules! checks {
    ($($run:ident: $page:literal, $says:literal $(, $needs:ident)?;)*) => {
        pub(super) const CHECKS: &[crate::conformance::Check] = &[$(crate::conformance::Check {
            name: stringify!($run),
            page: $page,
            says: $says,
            needs: checks!(@needs $($needs)?),
            run: |probe| Box::pin($run(probe)),
        }),*];
    };
    (@needs) => { crate::conformance::Needs::Nothing };
    (@needs $needs:ident) => { crate::conformance::Needs::$needs };
}
use checks;
