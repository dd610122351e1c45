//! The stations of one event in the log of a process.

use std::collections::BTreeMap;

use serde_json::Value;

use super::log::Log;

/// The log filter of a process that shows the stations of every event.
pub const DEBUG: &str = "warn,cordboard=debug";

/// The number of lines of each station with this id. Notifications of a new call bear it as the id
/// of their call, which is that of its first event.
pub fn stations_of(log: &Log, id: &str) -> BTreeMap<String, usize> {
    let mut stations = BTreeMap::new();

    for line in log.all() {
        // Panics and the like may be plain text.
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let Some(station) = line["station"].as_str() else {
            continue;
        };

        if line["event_id"] == id || line["call_id"] == id {
            *stations.entry(station.to_owned()).or_default() += 1;
        }
    }

    stations
}

/// One line for each of these stations.
pub fn once(stations: &[&str]) -> BTreeMap<String, usize> {
    stations
        .iter()
        .map(|station| ((*station).to_owned(), 1))
        .collect()
}
