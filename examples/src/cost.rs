//! What this process has cost so far. Linux only: the figures come from `/proc/self`.

use std::fs::read_to_string;

use anyhow::Context;

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// CPU seconds of all threads, in user and kernel mode.
    pub cpu_s: f64,
    /// Resident memory now, in KiB.
    pub rss_kib: u64,
}

impl Cost {
    /// From the start of the process until now.
    ///
    /// # Errors
    /// Where there is no `/proc/self`.
    pub fn so_far() -> anyhow::Result<Self> {
        let stat = read_to_string("/proc/self/stat").context("no CPU time without /proc/self/stat")?;
        let status = read_to_string("/proc/self/status").context("no memory without /proc/self/status")?;
        // The second field is the program's name in parentheses and may hold spaces; fields 14 and 15 are the ticks.
        let after_name = stat.rsplit_once(')').context("/proc/self/stat has no program name")?.1;
        let mut fields = after_name.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
            anyhow::bail!("/proc/self/stat has no CPU time: {stat}");
        };
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss_kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
        let cpu_s = (user + system) as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { cpu_s, rss_kib: rss_kib.context("/proc/self/status has no VmRSS")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_memory() {
        let cost = Cost::so_far().expect("this is Linux");
        assert!(cost.rss_kib > 100 && cost.cpu_s >= 0.0, "{cost:?}");
    }
}
