//! What this process uses of its host, from `/proc`.
//!
//! Invariant: where there is no `/proc`, there are no samples rather than zeros.

use std::fmt;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Linux counts CPU time in hundredths of a second, on every host (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// What a process has used until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// CPU time, of user and system.
    pub cpu: Duration,
    /// Memory that is resident, bytes.
    pub resident_bytes: u64,
}

/// What this process has used; `None` where the host does not say.
pub fn usage() -> Option<Usage> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    read(&stat, &status)
}

fn read(stat: &str, status: &str) -> Option<Usage> {
    // The name in parentheses may hold anything; what counts comes after it.
    // proc_pid_stat(5): utime and stime are fields 14 and 15, state is the third.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let ticks = f64::from(ticks()?) + f64::from(ticks()?);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage {
        cpu: Duration::from_secs_f64(ticks / TICKS_A_SECOND),
        resident_bytes: kibibytes * 1024,
    })
}

/// Prints [`usage`] at each scrape, under the names that all exporters use.
#[derive(Debug)]
pub(super) struct ProcessUsage;

impl Collector for ProcessUsage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = usage() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(usage.cpu.as_secs_f64());
        let unit = Unit::Seconds;
        let kind = EncodeMetric::metric_type(&cpu);
        let help = "CPU time of user and system";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&unit), kind)?)?;
        let resident = i64::try_from(usage.resident_bytes).unwrap_or(i64::MAX);
        let resident = ConstGauge::new(resident);
        let unit = Unit::Bytes;
        let kind = EncodeMetric::metric_type(&resident);
        let help = "Memory that is resident";
        let name = "process_resident_memory";
        resident.encode(encoder.encode_descriptor(name, help, Some(&unit), kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_found_behind_any_name() {
        let stat = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 9 0 1 2 3";
        let status = "Name:\ta\nVmHWM:\t  99 kB\nVmRSS:\t   2048 kB\nThreads:\t1\n";
        let usage = read(stat, status).unwrap();
        assert_eq!(usage.cpu, Duration::from_secs(4));
        assert_eq!(usage.resident_bytes, 2048 * 1024);
        assert_eq!(read("", status), None);
        assert_eq!(read(stat, "VmRSS: many kB"), None);
    }
}
