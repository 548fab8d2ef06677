//! What does a simulated hour of a fleet cost? Four workers read 16 shards while a producer writes.

use std::time::Duration;

use integration_tests::world::World;
use rustix::time::{ClockId, clock_gettime};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let minutes = std::env::args().nth(1).map_or(60, |argument| argument.parse().expect("a number of minutes"));
    let world = World::new(7, Duration::from_secs(minutes * 60));
    let happened = world.happen().await;
    let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    let calls: usize = (0..world.workers).map(|number| happened.cloud.calls(&format!("worker-{number}")).len()).sum();
    println!(
        "{minutes} virtual minutes, {} workers, {} shards, {} records written, {} delivered: {calls} calls of the workers, \
         {:.1} s of CPU",
        world.workers,
        world.shards,
        happened.written,
        happened.delivered,
        cpu.as_secs_f64()
    );
    assert!(happened.delivered >= happened.written, "records were lost");
}
