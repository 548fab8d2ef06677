//! Runs a rough world from a seed and prints the trace of its calls until its workers shut down: the same in every process and every build.
//!
//! `trace 7` runs the world of seed 7, `trace 7 300` for 300 virtual seconds.

use std::io::Write as _;
use std::time::Duration;

use integration_tests::world::World;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let (seed, seconds) = (numbers.next().unwrap_or(7), numbers.next().unwrap_or(120));
    let mut world = World::new(seed, Duration::from_secs(seconds));
    (world.rough, world.workers, world.shards) = (true, 3, 6);
    let happened = world.happen().await;
    let mut out = std::io::stdout().lock();
    out.write_all(happened.trace.as_bytes())?;
    writeln!(out, "{} records written, {} delivered", happened.written, happened.delivered)
}
