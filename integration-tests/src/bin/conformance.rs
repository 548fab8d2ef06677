//! Runs the conformance suite against the model and against endpoints outside the process, and compares with the list
//! of known differences. `conformance --help` tells more.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_config::BehaviorVersion;
use aws_sdk_kinesis::config::{Credentials, Region};
use integration_tests::conformance::{
    Check, Differences, Endpoint, Outcome, Service, again, against_endpoint, against_model, compare, page,
};
use tokio::net::TcpStream;
use tokio::time::Instant;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let known = Differences::committed()?;
    if options.page {
        std::fs::write(project().join("docs/conformance.md"), page(&known))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut wrong = Vec::new();
    for service in options.services() {
        wrong.extend(examine(service, &options, &known)?);
    }
    for line in &wrong {
        println!("WRONG {line}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a service's checks on both sides, prints the table, and returns what is not as listed.
fn examine(service: Service, options: &Options, known: &Differences) -> Result<Vec<String>> {
    let checks: Vec<&'static Check> = service.checks().filter(|check| check.name.contains(&options.only)).collect();
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let virtual_time = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let mut ours = Vec::new();
    for check in &checks {
        ours.push((*check, virtual_time.block_on(against_model(check))));
    }
    let real_time = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let theirs = real_time.block_on(async {
        let peer = Peer::start(service, options).await?;
        let endpoint = peer.endpoint().await;
        let mut theirs = against_endpoint(&endpoint, checks).await;
        ask_again(&endpoint, &mut theirs, |result| !compare(service.peer(), result, known).is_empty()).await;
        anyhow::Ok(theirs)
    })?;
    table(service, &ours, &theirs);
    println!("{} took {:.0?}", service.peer(), began.elapsed());
    let mut wrong = compare(service.ours(), &ours, known);
    wrong.extend(compare(service.peer(), &theirs, known));
    Ok(wrong)
}

/// Asks once more, one at a time, what came out otherwise than listed: an emulator in real time, with a
/// dozen checks at once, does now and then what it does not do again.
async fn ask_again(
    endpoint: &Endpoint,
    results: &mut [(&'static Check, Outcome)],
    unexpected: impl Fn(&[(&'static Check, Outcome)]) -> bool,
) {
    for result in results {
        if unexpected(std::slice::from_ref(result)) {
            let seen =
                if let Outcome::Differs(seen) = &result.1 { format!("differs: {seen:#}") } else { "holds".to_owned() };
            println!("{}: {seen}; asked again", result.0.name);
            result.1 = again(endpoint, result.0).await;
        }
    }
}

fn table(service: Service, ours: &[(&Check, Outcome)], theirs: &[(&Check, Outcome)]) {
    println!("{:72} {:10} {}", "check", service.ours(), service.peer());
    for ((check, ours), (_, theirs)) in ours.iter().zip(theirs) {
        println!("{:72} {:10} {}", check.name, word(ours), word(theirs));
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Holds => "holds",
        Outcome::Differs(_) => "DIFFERS",
        Outcome::NotAsked => "-",
    }
}

/// An endpoint: one that the user named, or a peer of ours that lives as long as this value.
struct Peer {
    url: String,
    child: Option<Child>,
}

impl Peer {
    async fn start(service: Service, options: &Options) -> Result<Self> {
        let (named, launcher) = match service {
            Service::Kinesis => (&options.kinesis, "kinesis"),
            Service::DynamoDb => (&options.dynamodb, "dynamodb"),
        };
        if let Some(url) = named {
            return Ok(Self { url: url.clone(), child: None });
        }
        let [port, tls_port] = [free_port()?, free_port()?];
        let program = project().join("integration-tests/peers").join(launcher);
        let mut command = Command::new(program);
        command.arg(port.to_string()).arg(tls_port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        // A state that lasts half a second is over before a busy kinesis-local answers a question about it.
        for what in ["CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT"] {
            command.env(format!("{what}_DURATION"), "1500ms");
        }
        let child = command.spawn();
        let peer = Self { url: format!("http://127.0.0.1:{port}"), child: Some(child.context("starting the peer")?) };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{launcher} does not listen on port {port} after a minute");
    }

    async fn endpoint(&self) -> Endpoint {
        let mut config = aws_config::defaults(BehaviorVersion::latest()).endpoint_url(&self.url);
        if self.child.is_some() {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "conformance");
            config = config.region(Region::new("us-east-1")).credentials_provider(credentials);
        }
        let config = config.load().await;
        Endpoint::new((&config).into(), (&config).into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[derive(Default)]
struct Options {
    page: bool,
    only: String,
    kinesis: Option<String>,
    dynamodb: Option<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{HELP}"));
            match argument.as_str() {
                "--page" => options.page = true,
                "--only" => options.only = value()?,
                "--kinesis" => options.kinesis = Some(value()?),
                "--dynamodb" => options.dynamodb = Some(value()?),
                _ => bail!("{HELP}"),
            }
        }
        Ok(options)
    }

    /// Both, unless only one was named.
    fn services(&self) -> Vec<Service> {
        match (&self.kinesis, &self.dynamodb) {
            (Some(_), None) => vec![Service::Kinesis],
            (None, Some(_)) => vec![Service::DynamoDb],
            _ => vec![Service::Kinesis, Service::DynamoDb],
        }
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the project").to_path_buf()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

const HELP: &str = "\
usage: conformance [--only PART-OF-A-NAME] [--kinesis URL] [--dynamodb URL] [--page]

Runs the checks against the test kit's cloud and against kinesis-local and DynamoDB Local, which it starts, or against the
endpoints named (with the usual AWS credentials and region). --page writes docs/conformance.md and runs nothing.";
