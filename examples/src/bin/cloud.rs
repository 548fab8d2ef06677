//! A local Kinesis and DynamoDB on a port, for programs in any language: one endpoint for both.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use clap::Parser;
use examples::output::{self, Output};
use kinesis_testkit::{Cloud, Limits, Server, Tls};
use serde::Serialize;

/// A local Kinesis and DynamoDB on a port. Runs until Ctrl-C or SIGTERM; what was written is gone then.
///
/// HTTP/1.1 and HTTP/2; any credentials and any region will do. Prints one JSON object a line: `listening` when clients can connect, `end`.
#[derive(Debug, Parser)]
#[command(name = "cloud")]
struct Args {
    /// Where to listen; port 0 takes one that is free.
    #[arg(long, default_value = "127.0.0.1:4567", value_name = "ADDRESS")]
    listen: String,
    /// Speak TLS too, on the same port, with a certificate of its own making.
    #[arg(long)]
    tls: bool,
    /// Write the certificate to this file, in PEM, for clients to trust.
    #[arg(long, value_name = "FILE", requires = "tls")]
    certificate: Option<PathBuf>,
    /// Have this stream from the start; may be given several times.
    #[arg(long, value_name = "NAME:SHARDS", value_parser = stream)]
    stream: Vec<(String, i32)>,
    /// Where sequence numbers and ids are drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most calls open at once on one HTTP/2 connection.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_concurrent_streams: u32,
    /// Lift the service's rates; sizes stay limited.
    #[arg(long)]
    no_limits: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    output::log_to_stderr();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloud: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    // Told from now on, so that a signal just after `listening` is not missed.
    let stop = output::stop_signal();
    tokio::pin!(stop);
    let output = Output::stdout();
    let server = tokio::select! { biased;
        () = &mut stop => return Ok(()),
        server = start(&args) => server?,
    };
    let print = |event, url| {
        let line = Line { event, ms: output::now_ms(), url };
        output.print(&line).context("writing to standard output failed")
    };
    print("listening", Some(server.url()))?;
    stop.await;
    server.shutdown().await;
    print("end", None)
}

async fn start(args: &Args) -> anyhow::Result<Server> {
    // Clients compare the dates they see with their own clocks.
    let mut cloud = Cloud::builder().seed(args.seed).epoch(SystemTime::now());
    if args.no_limits {
        cloud = cloud.limits(Limits::without_rates());
    }
    let cloud = cloud.build();
    for (name, shards) in &args.stream {
        cloud.try_create_stream(name, *shards).await?;
    }
    let mut server = cloud.serve().bind(&args.listen).max_concurrent_streams(args.max_concurrent_streams);
    if args.tls {
        server = server.tls(Tls::self_signed());
    }
    let server = server.start().await?;
    if let (Some(path), Some(certificate)) = (&args.certificate, server.certificate_pem()) {
        std::fs::write(path, certificate).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(server)
}

#[derive(Serialize)]
struct Line {
    event: &'static str,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

fn stream(text: &str) -> Result<(String, i32), String> {
    let (name, shards) = text.rsplit_once(':').ok_or("wanted: NAME:SHARDS")?;
    Ok((name.to_owned(), shards.parse().map_err(|error| format!("shards: {error}"))?))
}
