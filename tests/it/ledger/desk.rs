//! Laws of the missed-call desk.

use std::collections::HashSet;

use cordboard::domain::time::At;
use cordboard::port::desk::{
    Desk, DeskChange, DeskEntry, DeskPage, DeskStage, DeskStatus, SiteChange,
};
use cordboard::port::ledger::{Changes, Ledger};

use super::Store;
use crate::support::batches::{LOOKBACK, after_seconds, changes, received, timeline};

/// All entries of a desk with few.
pub const WHOLE_DESK: DeskPage = DeskPage {
    site: None,
    since: At::START,
    before: None,
    stage: DeskStage::All,
    limit: 10,
};
/// Entries on one page of a desk with more of them.
const PAGE_ENTRIES: u32 = 4;

/// Calls of callers, each at a phone of his own: missed at this second, and answered at that one.
fn calls(missed: &[(u32, i64)], answered: &[(u32, i64)]) -> Changes {
    let target = |event: &str, caller: u32, leg: char| {
        format!(
            "/gs/cti/{event}?mac=000b8200{caller:04x}&local=3{caller:03}&remote=+49307{caller:05}&c={leg}"
        )
    };
    let missed = missed.iter().flat_map(|(caller, second)| {
        [
            (*second, target("incoming", *caller, 'a')),
            (*second + 1, target("missed", *caller, 'a')),
        ]
    });
    let answered = answered.iter().flat_map(|(caller, second)| {
        [
            (*second, target("incoming", *caller, 'b')),
            (*second + 1, target("answered", *caller, 'b')),
            (*second + 2, target("hangup", *caller, 'b')),
        ]
    });
    let mut reports: Vec<(i64, String)> = missed.chain(answered).collect();
    reports.sort();
    let facts = (1..)
        .zip(reports)
        .map(|(number, (second, target))| received(number, second, &target));

    changes(&mut timeline(), facts.collect(), At::END)
}

fn page(stage: DeskStage) -> DeskPage {
    DeskPage {
        stage,
        limit: PAGE_ENTRIES,
        ..WHOLE_DESK
    }
}

/// All entries, page by page, and the number of pages.
async fn all(desk: &impl Desk, mut page: DeskPage) -> (Vec<DeskEntry>, usize) {
    let mut entries: Vec<DeskEntry> = Vec::new();

    for pages in 1.. {
        let found = desk.entries(&page).await.unwrap();
        let is_last = found.len() < PAGE_ENTRIES as usize;
        entries.extend(found);
        page.before = entries
            .last()
            .map(|entry| (entry.missed_at, entry.call_id.clone()));
        if is_last {
            return (entries, pages);
        }
    }

    unreachable!("the pages end")
}

fn numbers(entries: &[DeskEntry]) -> Vec<&str> {
    entries
        .iter()
        .filter(|entry| entry.reached.is_none())
        .filter_map(|entry| entry.number.as_deref())
        .collect()
}

fn change(by: &str, status: DeskStatus, entries: &[DeskEntry]) -> DeskChange {
    DeskChange {
        call_ids: entries.iter().map(|entry| entry.call_id.clone()).collect(),
        status,
        assigned_to: (status == DeskStatus::Assigned).then(|| by.to_owned()),
        note: None,
        disposition: None,
        by: by.to_owned(),
        now: after_seconds(700),
        callers: entries
            .iter()
            .filter_map(|entry| Some((entry.site.clone(), entry.number.clone()?)))
            .collect(),
        read_at: None,
        takes_over: false,
        shown_since: At::START,
    }
}

pub async fn one_person_takes_all_calls_of_a_caller_or_none(store: &impl Store) {
    let (ledger, other) = (store.open().await, store.open().await);
    ledger.take_over(LOOKBACK).await.unwrap();
    let missed: Vec<(u32, i64)> = (0..10).map(|caller| (caller, 10)).collect();
    ledger.commit(&calls(&missed, &[])).await.unwrap();
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;

    let first = change("eve", DeskStatus::Assigned, &entries[3..4]);
    assert!(ledger.change(&first).await.unwrap());
    let both = change("adam", DeskStatus::Assigned, &entries[2..5]);
    assert!(!other.change(&both).await.unwrap());
    let (assigned, _) = all(&ledger, page(DeskStage::Assigned)).await;
    assert_eq!(assigned.len(), 1);
    assert_eq!(assigned[0].assigned_to.as_deref(), Some("eve"));
    let over = DeskChange {
        takes_over: true,
        ..both
    };
    assert!(other.change(&over).await.unwrap());

    let changed = SiteChange {
        site: "default".to_owned(),
        changed_at: first.now,
    };
    assert_eq!(ledger.changes(first.now, 10).await.unwrap(), [changed]);
    let later = At(first.now.0 + 1);
    assert_eq!(ledger.changes(later, 10).await.unwrap(), []);

    // In the same moment, and in whatever order their calls are named.
    for calls in entries[5..].chunks(5) {
        let eve = change("eve", DeskStatus::Assigned, calls);
        let mut adam = change("adam", DeskStatus::Assigned, calls);
        adam.call_ids.reverse();
        let (eve, adam) = futures_util::join!(ledger.change(&eve), other.change(&adam));
        assert_ne!(eve.unwrap(), adam.unwrap());
    }
    let (assigned, _) = all(&ledger, page(DeskStage::Assigned)).await;
    let takers = assigned[3..]
        .iter()
        .map(|entry| entry.assigned_to.as_deref());
    assert_eq!(takers.collect::<HashSet<_>>().len(), 1);
}

pub async fn a_person_who_has_taken_a_caller_has_his_next_call(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let missed = [(1, 0), (1, 20), (2, 30)];
    ledger.commit(&calls(&missed, &[])).await.unwrap();
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(
        numbers(&entries),
        ["+4930700002", "+4930700001", "+4930700001"]
    );

    let first = change("eve", DeskStatus::Assigned, &entries[2..]);
    assert!(ledger.change(&first).await.unwrap());
    let next = change("adam", DeskStatus::Done, &entries[1..2]);
    assert!(!ledger.change(&next).await.unwrap());
    let other = change("adam", DeskStatus::Assigned, &entries[..1]);
    assert!(ledger.change(&other).await.unwrap());

    // The desk does not show the call any more that she has.
    let later = DeskChange {
        shown_since: entries[1].missed_at,
        ..next
    };
    assert!(ledger.change(&later).await.unwrap());
}

pub async fn what_another_person_has_changed_meanwhile_is_not_changed(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    ledger.commit(&calls(&[(1, 0)], &[])).await.unwrap();
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    let at = |by: &str, second: i64, read: i64| DeskChange {
        now: after_seconds(second),
        read_at: Some(after_seconds(read)),
        takes_over: true,
        ..change(by, DeskStatus::Done, &entries)
    };

    assert!(ledger.change(&at("eve", 800, 700)).await.unwrap());
    assert!(!ledger.change(&at("adam", 801, 799)).await.unwrap());
    assert!(
        ledger.change(&at("eve", 802, 799)).await.unwrap(),
        "her own"
    );
    assert!(ledger.change(&at("adam", 803, 802)).await.unwrap());
}

pub async fn notes_are_removed_and_results_are_those_of_done_entries(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    ledger.commit(&calls(&[(1, 0)], &[])).await.unwrap();
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    let state = async |change: DeskChange| {
        assert!(ledger.change(&change).await.unwrap());
        let (entries, _) = all(&ledger, page(DeskStage::All)).await;
        let note = entries[0].note.as_deref().map(ToOwned::to_owned);
        (note, entries[0].disposition.clone())
    };

    let done = DeskChange {
        note: Some("after lunch".into()),
        disposition: Some("reached".to_owned()),
        ..change("eve", DeskStatus::Done, &entries)
    };
    let (noted, reached) = (Some("after lunch".to_owned()), Some("reached".to_owned()));
    assert_eq!(state(done).await, (noted.clone(), reached.clone()));
    let again = change("eve", DeskStatus::Done, &entries);
    assert_eq!(state(again).await, (noted.clone(), reached));

    let open = change("eve", DeskStatus::Open, &entries);
    assert_eq!(state(open).await, (noted, None));
    let removed = DeskChange {
        note: Some("".into()),
        ..change("eve", DeskStatus::Open, &entries)
    };
    assert_eq!(state(removed).await, (None, None));
}

pub async fn callers_who_hide_their_numbers_are_not_taken_for_each_other(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let lines = [
        (
            0,
            "incoming?mac=000b82000001&local=201&remote=anonymous&c=a",
        ),
        (5, "missed?mac=000b82000001&local=201&remote=anonymous&c=a"),
        (
            300,
            "incoming?mac=000b82000002&local=202&remote=anonymous&c=b",
        ),
        (
            301,
            "answered?mac=000b82000002&local=202&remote=anonymous&c=b",
        ),
    ];
    let facts = (1..)
        .zip(lines)
        .map(|(number, (second, line))| received(number, second, &format!("/gs/cti/{line}")));
    let changes = changes(&mut timeline(), facts.collect(), after_seconds(400));
    ledger.commit(&changes).await.unwrap();

    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(entries.len(), 1);
    assert!(entries[0].reached.is_none() && entries[0].calling.is_none());
}

pub async fn callers_who_wait_are_found_among_all_who_were_reached(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    // The first two wait; all later ones are reached, the last of them before his second call.
    let missed: Vec<(u32, i64)> = (0..20)
        .map(|caller| (caller, 10 * i64::from(caller)))
        .collect();
    let answered: Vec<(u32, i64)> = (2..20).map(|caller| (caller, 500)).collect();
    let again = [(19, 600)];
    let changes = calls(&[&missed[..], &again].concat(), &answered);
    ledger.commit(&changes).await.unwrap();

    let (entries, pages) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(entries.len(), 21);
    assert_eq!(pages, 6);
    let waiting = ["+4930700019", "+4930700001", "+4930700000"];
    assert_eq!(numbers(&entries), waiting);
    let reached = entries.iter().filter_map(|entry| entry.reached.as_ref());
    assert!(reached.clone().count() == 18);
    assert!(reached.into_iter().all(|call| call.extension.is_some()));

    // It was marked: the next read passes over them.
    let (entries, pages) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(numbers(&entries), waiting);
    assert_eq!((entries.len(), pages), (3, 1));
    let of_site = DeskPage {
        site: Some("default".to_owned()),
        ..page(DeskStage::Waiting)
    };
    assert_eq!(all(&ledger, of_site).await.0.len(), 3);
    let elsewhere = DeskPage {
        site: Some("elsewhere".to_owned()),
        ..page(DeskStage::All)
    };
    assert!(all(&ledger, elsewhere).await.0.is_empty());

    let done = change("agent", DeskStatus::Done, &entries[..1]);
    assert!(ledger.change(&done).await.unwrap());
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(numbers(&entries), waiting[1..]);
    assert_eq!(all(&ledger, page(DeskStage::All)).await.0.len(), 21);
}

pub async fn a_caller_waits_again_when_the_answered_call_turns_out_to_be_none(store: &impl Store) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let changes = calls(&[(1, 0), (2, 0)], &[(1, 10), (2, 20)]);
    ledger.commit(&changes).await.unwrap();
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    assert!(numbers(&entries).is_empty());
    let since = after_seconds(0);
    assert_eq!(ledger.verify_reached(since).await.unwrap(), 0);

    let answered = changes
        .calls
        .iter()
        .find(|call| call.record.started_at == after_seconds(10))
        .unwrap();
    let withdrawn = Changes {
        withdrawn_calls: vec![answered.record.id],
        watermark: Some(At::END),
        ..Changes::default()
    };
    ledger.commit(&withdrawn).await.unwrap();

    assert_eq!(ledger.verify_reached(since).await.unwrap(), 1);
    let (entries, _) = all(&ledger, page(DeskStage::Waiting)).await;
    assert_eq!(numbers(&entries), ["+4930700001"]);
}

pub async fn a_caller_whose_transfer_failed_waits_unless_he_spoke_with_a_phone_again(
    store: &impl Store,
) {
    let ledger = store.open().await;
    ledger.take_over(LOOKBACK).await.unwrap();
    let report = |number: u128, second: i64, event: &str, extension: u32, caller: u32| {
        let target = format!(
            "/gs/cti/{event}?mac=000b82000{extension}&local={extension}&remote=+4930{caller}"
        );
        received(number, second, &target)
    };
    let transfer = |first: u128, extension: u32, caller: u32| {
        [
            report(first, 0, "incoming", extension, caller),
            report(first + 1, 3, "answered", extension, caller),
            report(first + 2, 20, "incoming", extension + 1, caller),
            report(first + 3, 21, "hangup", extension, caller),
            report(first + 4, 35, "missed", extension + 1, caller),
        ]
    };
    let back = [
        report(21, 37, "incoming", 301, 222_222),
        report(22, 39, "answered", 301, 222_222),
        report(23, 50, "hangup", 301, 222_222),
    ];
    let mut facts = Vec::from(transfer(1, 201, 111_111));
    facts.extend(transfer(11, 301, 222_222));
    facts.sort_by_key(|received| received.fact.key());

    // The call comes back to the phone that handed it on, in vain.
    facts.extend(transfer(31, 401, 333_333));
    let recall = [
        report(41, 36, "incoming", 401, 333_333),
        report(42, 50, "missed", 401, 333_333),
    ];
    // The second phone answered, and handed the caller on to a third one.
    facts.extend([
        report(51, 0, "incoming", 501, 444_444),
        report(52, 3, "answered", 501, 444_444),
        report(53, 20, "incoming", 502, 444_444),
        report(54, 21, "hangup", 501, 444_444),
        report(55, 24, "answered", 502, 444_444),
    ]);
    let onwards = [
        report(61, 40, "incoming", 503, 444_444),
        report(62, 41, "hangup", 502, 444_444),
        report(63, 55, "missed", 503, 444_444),
    ];
    facts.sort_by_key(|received| received.fact.key());
    let mut later = [&back[..], &recall, &onwards].concat();
    later.sort_by_key(|received| received.fact.key());

    let mut timeline = timeline();
    let until_failed = changes(&mut timeline, facts, after_seconds(36));
    ledger.commit(&until_failed).await.unwrap();
    let all = changes(&mut timeline, later, At::END);
    ledger.commit(&all).await.unwrap();

    let entries = ledger.entries(&WHOLE_DESK).await.unwrap();
    let mut callers: Vec<_> = entries
        .iter()
        .map(|entry| (entry.number.as_deref().unwrap(), entry.extensions.as_str()))
        .collect();
    callers.sort_unstable();
    assert_eq!(
        callers,
        [
            ("+4930111111", r#"["202"]"#),
            ("+4930333333", r#"["402"]"#),
            ("+4930444444", r#"["503"]"#),
        ]
    );
    for entry in entries {
        let cause = (entry.cause.as_str(), entry.waited_us);
        assert_eq!(cause, ("transfer_failed", None));
    }
}
