//! Laws of queries: devices, extensions, filters and pages.

use std::time::Duration;

use cordboard::domain::time::At;
use cordboard::port::ledger::Ledger;
use cordboard::port::query::{CallFilter, NamedParty, Query};
use cordboard::simulate::Fleet;
use serde_json::Value;

use super::Store;
use crate::support::batches::{LOOKBACK, changes, facts, received, timeline, two_calls};
use crate::support::fleet;
use crate::support::overlay::EPOCH;

/// Sets a part of a filter.
type Narrow = fn(&mut CallFilter);

fn party(site: &str, number: &str) -> NamedParty {
    NamedParty {
        site: site.to_owned(),
        number: number.to_owned(),
    }
}

/// Calls on one page of the history; the history has many pages.
const PAGE_CALLS: u32 = 7;

pub async fn devices_and_extensions_can_be_looked_up(store: &impl Store) {
    let ledger = store.open().await;
    commit_two_calls(&ledger).await;

    let devices = ledger.devices("default").await.unwrap();
    let seen: Vec<(&str, i64, Option<&str>)> = devices
        .iter()
        .map(|device| {
            let extension = device.extension.as_deref();
            (device.device.as_str(), device.last_seen, extension)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("000b82000001", EPOCH + 30_000_000, Some("201")),
            ("000b82000002", EPOCH + 9_000_000, Some("202"))
        ]
    );

    let extensions = ledger.extensions("default").await.unwrap();
    let known: Vec<(&str, i64)> = extensions
        .iter()
        .map(|known| (known.extension.as_str(), known.first_report))
        .collect();
    assert_eq!(known, [("201", EPOCH), ("202", EPOCH + 5_000_000)]);
    assert!(ledger.extensions("elsewhere").await.unwrap().is_empty());
}

pub async fn phones_describe_themselves_in_any_order_of_their_reports(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let mut timeline = timeline();
    let mut number = 0;
    let mut commit = async |lines: &[(i64, &str)]| {
        let facts = lines.iter().map(|(second, line)| {
            number += 1;
            received(number, *second, &format!("/gs/cti/{line}"))
        });
        let batch = changes(&mut timeline, facts.collect(), At(EPOCH));
        ledger.commit(&batch).await.unwrap();
    };
    let silent = async |site: Option<&str>| {
        let silent = ledger.do_not_disturb(site).await.unwrap().into_iter();
        let silent = silent.map(|silent| (silent.extension, (silent.since - EPOCH) / 1_000_000));
        silent.collect::<Vec<_>>()
    };

    commit(&[
        (
            0,
            "registered?mac=000b82000001&local=201&product=GRP2614&v=1.0.5.48",
        ),
        (1, "dnd_on?mac=000b82000001"),
        (2, "dnd_on?mac=000b82000002&local=202"),
        (200, "boot?mac=000b82000001&v=1.0.7.12"),
    ])
    .await;
    let both = [("201".to_owned(), 1), ("202".to_owned(), 2)];
    assert_eq!(silent(Some("default")).await, both);
    assert_eq!(silent(None).await, both);
    assert!(silent(Some("elsewhere")).await.is_empty());
    let phone = ledger.devices("default").await.unwrap().remove(0);
    let described = (phone.model.as_deref(), phone.firmware.as_deref());
    assert_eq!(described, (Some("GRP2614"), Some("1.0.7.12")));
    assert_eq!(phone.dnd_since, Some(EPOCH + 1_000_000));

    // Of two modes that overtook each other the later one counts, and another phone of the extension
    // takes its calls.
    commit(&[
        (300, "dnd_off?mac=000b82000001"),
        (299, "dnd_on?mac=000b82000001"),
        (301, "idle?mac=000b82000003&local=202"),
    ])
    .await;
    assert!(silent(None).await.is_empty());
    commit(&[(298, "dnd_on?mac=000b82000001&v=1.0.5.48")]).await;
    assert!(silent(None).await.is_empty());
    let devices = ledger.devices("default").await.unwrap();
    let own = devices.iter().find(|phone| phone.device == "000b82000001");
    assert_eq!(
        own.and_then(|own| own.firmware.as_deref()),
        Some("1.0.7.12")
    );
}

pub async fn filters_and_pages_find_the_calls_that_fit(store: &impl Store) {
    let ledger = store.open().await;
    commit_two_calls(&ledger).await;

    let cases: [(usize, Narrow); 12] = [
        (2, |_| {}),
        (1, |filter| filter.extension = Some("202".to_owned())),
        (1, |filter| filter.number = Some("+4930111".to_owned())),
        (1, |filter| filter.outcome = Some("missed".to_owned())),
        (0, |filter| filter.direction = Some("outbound".to_owned())),
        (1, |filter| filter.since = Some(EPOCH + 1)),
        (1, |filter| filter.until = Some(EPOCH + 1)),
        (0, |filter| filter.site = Some("elsewhere".to_owned())),
        (0, |filter| filter.live = true),
        (1, |filter| filter.text = Some("9301".to_owned())),
        (2, |filter| {
            filter.text = Some("9301".to_owned());
            filter.named = vec![party("elsewhere", "201"), party("default", "+4930222")];
        }),
        (1, |filter| {
            filter.text = Some("Ada".to_owned());
            filter.named = vec![party("elsewhere", "+4930222"), party("default", "201")];
        }),
    ];
    for (case, (expected, narrow)) in cases.into_iter().enumerate() {
        let mut filter = up_to(10);
        narrow(&mut filter);

        let found = ledger.calls(&filter).await.unwrap();
        assert_eq!(found.len(), expected, "case {case}");
    }

    let first = ledger.calls(&up_to(1)).await.unwrap().pop().unwrap();
    let rest = CallFilter {
        after: Some((first.started_at, first.id.clone())),
        ..up_to(10)
    };
    let second = ledger.calls(&rest).await.unwrap();
    assert!(second.len() == 1 && second[0].id != first.id);

    let record = ledger.call(&first.id).await.unwrap();
    assert_eq!(record.as_deref(), Some(first.record.as_str()));
    assert_eq!(ledger.call("nope").await.unwrap(), None);
}

pub async fn every_query_finds_all_matching_calls_page_by_page(store: &impl Store) {
    let ledger = store.open().await;
    commit_history(&ledger).await;
    let records: Vec<Record> = ledger
        .calls(&up_to(10_000))
        .await
        .unwrap()
        .iter()
        .map(|call| Record {
            started_at: call.started_at,
            call: serde_json::from_str(&call.record).unwrap(),
        })
        .collect();

    let mut hits = 0;
    for (case, filter) in filters(&records).iter().enumerate() {
        let expected: Vec<&str> = records
            .iter()
            .filter(|record| record.fits(filter))
            .filter_map(|record| record.call["id"].as_str())
            .collect();
        hits += usize::from(!expected.is_empty());

        assert_eq!(found(&ledger, filter).await, expected, "case {case}");
    }

    assert!(
        records.len() > 80 && hits > 100,
        "{} calls, {hits} queries with results",
        records.len()
    );
}

async fn commit_two_calls(ledger: &impl Ledger) {
    ledger.take_over(LOOKBACK).await.unwrap();
    let all = changes(&mut timeline(), two_calls(), At::END);

    ledger.commit(&all).await.unwrap();
}

/// Commits some minutes of calls; some of them are still open.
async fn commit_history(ledger: &impl Ledger) {
    let fleet = Fleet {
        seed: 11,
        phones: 12,
        calls_per_second: 0.4,
        duration: Duration::from_mins(5),
    };
    let mut all = facts(&fleet::messages(&fleet));
    all.truncate(all.len() * 9 / 10);
    let watermark = all.last().unwrap().fact.at;

    ledger.take_over(LOOKBACK).await.unwrap();
    let history = changes(&mut timeline(), all, watermark);
    ledger.commit(&history).await.unwrap();
}

fn up_to(limit: u32) -> CallFilter {
    CallFilter {
        limit,
        ..CallFilter::default()
    }
}

/// The ids of all calls that a query finds, page by page.
async fn found(ledger: &impl Query, filter: &CallFilter) -> Vec<String> {
    let mut ids = Vec::new();
    let mut filter = CallFilter {
        limit: PAGE_CALLS,
        ..filter.clone()
    };

    loop {
        let page = ledger.calls(&filter).await.unwrap();
        ids.extend(page.iter().map(|call| call.id.clone()));

        match page.last() {
            Some(last) if page.len() == PAGE_CALLS as usize => {
                filter.after = Some((last.started_at, last.id.clone()));
            }
            _ => return ids,
        }
    }
}

/// Every combination of these values, and of none, in each part of a filter.
fn filters(records: &[Record]) -> Vec<CallFilter> {
    let middle = records[records.len() / 2].started_at;
    let number = records
        .iter()
        .find_map(|record| record.call["from"]["number"].as_str())
        .unwrap();

    let mut filters = vec![CallFilter::default()];
    filters = each(&filters, &["default", "elsewhere"], |filter, value| {
        filter.site = value;
    });
    filters = each(&filters, &[number, "1001"], |filter, value| {
        filter.number = value;
    });
    filters = each(&filters, &["1001", "1002"], |filter, value| {
        filter.extension = value;
    });
    let outcomes = ["answered", "missed", "no_answer", "lost"];
    filters = each(&filters, &outcomes, |filter, value| {
        filter.outcome = value;
    });
    filters = each(&filters, &["inbound", "outbound"], |filter, value| {
        filter.direction = value;
    });
    let statuses = ["completed", "failed", "ringing", "answered"];
    filters = each(&filters, &statuses, |filter, value| filter.status = value);
    let since_middle = filters.clone().into_iter().map(|filter| CallFilter {
        since: Some(middle),
        ..filter
    });

    filters.iter().cloned().chain(since_middle).collect()
}

/// Every one of these filters with each of the values, and with none.
fn each(
    filters: &[CallFilter],
    values: &[&str],
    set: impl Fn(&mut CallFilter, Option<String>),
) -> Vec<CallFilter> {
    let values = values.iter().map(|value| Some((*value).to_owned()));
    let values: Vec<_> = values.chain([None]).collect();
    let mut all = Vec::new();

    for filter in filters {
        for value in &values {
            let mut filter = filter.clone();
            set(&mut filter, value.clone());
            all.push(filter);
        }
    }

    all
}

/// A stored record, and the filters it fits as plain JSON.
struct Record {
    started_at: i64,
    call: Value,
}

impl Record {
    fn fits(&self, filter: &CallFilter) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted.is_none() || self.call[name].as_str() == wanted.as_deref()
        };

        is("site", &filter.site)
            && is("outcome", &filter.outcome)
            && is("direction", &filter.direction)
            && is("status", &filter.status)
            && (filter.number.as_ref()).is_none_or(|number| self.has_number(number))
            && (filter.extension.as_ref()).is_none_or(|extension| self.has_extension(extension))
            && filter.since.is_none_or(|since| self.started_at >= since)
    }

    fn has_number(&self, number: &str) -> bool {
        ["from", "to"].iter().any(|party| {
            let party = &self.call[party];
            party["number"] == number || party["e164"] == number
        })
    }

    fn has_extension(&self, extension: &str) -> bool {
        let participants = self.call["participants"].as_array().unwrap();

        participants
            .iter()
            .any(|participant| participant["extension"] == extension)
    }
}
