//! The processor time of a benchmark's own processes, by the name of their program: what else the
//! machine does is not in it.

use std::collections::BTreeMap;
use std::fs;

const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time that every program below this process has used so far.
pub fn used() -> BTreeMap<String, f64> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // It may have ended meanwhile; its waiting parent has its time.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((name, rest)) = stat
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'))
        else {
            continue;
        };
        let fields: Vec<u64> = rest
            .split_whitespace()
            .skip(1)
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        // Its parent, and the time in user and system mode: its own, and of children that ended.
        processes.insert(
            pid,
            (
                u32::try_from(fields[0]).unwrap_or(0),
                name.to_owned(),
                fields[10..14].iter().sum::<u64>(),
            ),
        );
    }
    let mut used = BTreeMap::new();
    for (pid, (parent, name, ticks)) in &processes {
        let mut above = *parent;
        while let Some((next, ..)) = processes
            .get(&above)
            .filter(|_| above != std::process::id())
        {
            above = *next;
        }
        if above == std::process::id() && *pid != above {
            *used.entry(name.clone()).or_default() += *ticks as f64 / TICKS_PER_SECOND;
        }
    }
    used
}

/// What was used in between, for every 10,000 events.
pub fn between(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
    events: usize,
) -> String {
    let used = after.iter().map(|(name, seconds)| {
        (
            name,
            (seconds - before.get(name).unwrap_or(&0.0)) * 10_000.0 / events as f64,
        )
    });
    used.filter(|(_, seconds)| *seconds >= 0.001)
        .map(|(name, seconds)| format!("{name} {seconds:.3}"))
        .collect::<Vec<_>>()
        .join(", ")
}
