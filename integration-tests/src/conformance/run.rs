//! Running the checks: one after the other against the model, several at a time against an endpoint.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::StreamExt;
use kinesis_testkit::{Cloud, Limits};

use super::{Check, Endpoint, Needs};

/// What became of a check.
#[derive(Debug)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not, and this is what was seen instead.
    Differs(anyhow::Error),
    /// It needs what the endpoint does not have.
    NotAsked,
}

/// Runs one check against a new cloud of the test kit. Needs a paused clock.
pub async fn against_model(check: &Check) -> Outcome {
    // Rates are the subject of some checks, and in the way of the others.
    let limits = if check.needs == Needs::Rates { Limits::default() } else { Limits::without_rates() };
    let cloud = Cloud::builder().limits(limits).build();
    let worker = cloud.connect("conformance").await;
    let endpoint = Endpoint::new(worker.kinesis_config(), worker.dynamodb_config());
    outcome(tokio::time::timeout(A_YEAR, (check.run)(endpoint.probe(check.name))).await)
}

/// Runs checks against an endpoint in real time and returns each with what became of it, in their order.
pub async fn against_endpoint(endpoint: &Endpoint, checks: Vec<&'static Check>) -> Vec<(&'static Check, Outcome)> {
    let runs = checks.into_iter().map(|check| async move { (check, ask(endpoint, check, check.name).await) });
    futures::stream::iter(runs).buffered(AT_ONCE).collect().await
}

/// Runs one check once more against an endpoint. What the first run left behind is not in its way.
pub async fn again(endpoint: &Endpoint, check: &Check) -> Outcome {
    ask(endpoint, check, &format!("{}_again", check.name)).await
}

async fn ask(endpoint: &Endpoint, check: &Check, name: &str) -> Outcome {
    if check.needs != Needs::Nothing {
        return Outcome::NotAsked;
    }
    let probe = endpoint.probe(name);
    let result = tokio::time::timeout(PATIENCE, (check.run)(probe.clone())).await;
    probe.clean_up().await;
    outcome(result)
}

fn outcome<T>(result: Result<Result<()>, T>) -> Outcome {
    match result.unwrap_or_else(|_| Err(anyhow!("it never ended"))) {
        Ok(()) => Outcome::Holds,
        Err(seen) => Outcome::Differs(seen),
    }
}

/// kinesis-local is one thread: more at a time would only wait for each other.
const AT_ONCE: usize = 12;

/// A check takes seconds; kinesis-local under load some ten.
const PATIENCE: Duration = Duration::from_secs(90);

/// Longer than any check waits in virtual time.
const A_YEAR: Duration = Duration::from_secs(400 * 24 * 3600);
