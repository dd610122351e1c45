//! Processor time and memory of a benchmark's own processes, from the kernel's account. Other
//! processes of the machine are not included.

use std::collections::BTreeMap;
use std::fs;

use super::support::service::Service;

const TICKS_PER_SECOND: f64 = 100.0;

/// One process of the machine.
struct Process {
    parent: u32,
    program: String,
    /// Processor time in user and system mode, of the process and its ended children.
    ticks: u64,
}

/// Processor seconds so far of all processes below this one, by their program.
pub fn cpu_seconds() -> BTreeMap<String, f64> {
    let processes = all();
    let this = std::process::id();
    let mut seconds = BTreeMap::new();

    for (pid, process) in &processes {
        let mut ancestor = process.parent;
        while let Some(next) = processes.get(&ancestor).filter(|_| ancestor != this) {
            ancestor = next.parent;
        }

        if ancestor == this && *pid != this {
            *seconds.entry(process.program.clone()).or_default() +=
                process.ticks as f64 / TICKS_PER_SECOND;
        }
    }

    seconds
}

fn all() -> BTreeMap<u32, Process> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // A process may have ended meanwhile; its parent has its time.
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parse(&stat)?))
        })
        .collect()
}

fn parse(stat: &str) -> Option<Process> {
    let (_, rest) = stat.split_once('(')?;
    let (program, rest) = rest.rsplit_once(')')?;
    let fields: Vec<u64> = rest
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();

    Some(Process {
        parent: u32::try_from(*fields.first()?).ok()?,
        program: program.to_owned(),
        ticks: fields.get(10..14)?.iter().sum(),
    })
}

/// The difference of two accounts for every 10,000 events.
pub fn per_10_000(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
    events: usize,
) -> String {
    let figures: Vec<String> = after
        .iter()
        .map(|(program, seconds)| {
            let used = seconds - before.get(program).unwrap_or(&0.0);
            (program, used * 10_000.0 / events as f64)
        })
        .filter(|(_, seconds)| *seconds >= 0.001)
        .map(|(program, seconds)| format!("{program} {seconds:.3}"))
        .collect();

    figures.join(", ")
}

/// A figure of a service's memory: `VmRSS` for the present, `VmHWM` for the peak.
pub fn memory_mib(service: &Service, figure: &str) -> i64 {
    let pid = service.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib: i64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix(figure)?
                .strip_prefix(':')?
                .strip_suffix("kB")
        })
        .unwrap()
        .trim()
        .parse()
        .unwrap();

    kib / 1_024
}
