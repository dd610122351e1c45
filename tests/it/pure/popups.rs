//! Popups: the calls of one agent, at his phone and at his helplines.

use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::time::At;
use cordboard::port::directory::{Directory, Entry, Helpline};
use cordboard::port::windows::Windows;
use serde_json::{Value, json};

use super::accounts::{printed, secret_of, signed_in};
use super::people::{CUSTOMER, desk_of, import, post, report, service};
use crate::support::http::send;
use crate::support::service::Events;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_hear_of_their_own_calls_and_one_takes_each() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let stream = |extension: u32| format!("/api/v1/stream/popups?extension={extension}");
    let (mut ayesha, hello) = Events::open_at(gateway, &stream(201), "").await;
    assert_eq!(hello["popups"], json!([]));
    let (mut omar, _) = Events::open_at(gateway, &stream(202), "").await;
    let (mut hina, _) = Events::open_at(gateway, &stream(203), "").await;

    let id = report(&service, "incoming", 201, CUSTOMER).await;
    let (_, popup) = ayesha.until("popup").await;
    assert_eq!(
        (&popup["kind"], &popup["call_id"]),
        (&json!("ring"), &json!(id))
    );
    assert_eq!(popup["caller"]["e164"], "+493023125418");
    report(&service, "incoming", 202, CUSTOMER).await;
    let (_, popup) = omar.until("popup").await;
    assert_eq!(popup["also_ringing"], json!(["201"]));

    let claim = |extension: u32| format!("/api/v1/popups/{id}/claim?extension={extension}");
    let (one, other) = (claim(201), claim(202));
    let nothing = json!(null);
    let (first, second) = tokio::join!(
        post(gateway, &one, &nothing),
        post(gateway, &other, &nothing),
    );
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let winner = if first.0 == 200 { "201" } else { "202" };
    assert_eq!(post(gateway, &claim(203), &nothing).await.0, 404);
    loop {
        let (_, popup) = ayesha.until("popup").await;
        if popup["claimed_by"]["name"] == winner {
            assert_eq!(popup["mine"], winner == "201");
            break;
        }
    }
    let release = format!("/api/v1/popups/{id}/release?extension={winner}");
    assert_eq!(post(gateway, &release, &nothing).await.0, 204);
    assert_eq!(post(gateway, &claim(202), &nothing).await.0, 200);

    report(&service, "answered", 202, CUSTOMER).await;
    loop {
        let (_, popup) = ayesha.until("popup").await;
        if popup["kind"] == "taken" {
            assert_eq!(popup["taken_by"], "202");
            break;
        }
    }
    let (mut again, hello) = Events::open_at(gateway, &stream(202), "").await;
    assert_eq!(hello["popups"][0]["kind"], "talk");
    report(&service, "hangup", 202, CUSTOMER).await;
    let (_, popup) = again.until("popup").await;
    assert_eq!(popup["kind"], "gone");

    // The phone that never rang heard nothing: its first event is its own call.
    let own = report(&service, "incoming", 203, "0301111111").await;
    let (_, popup) = hina.until("popup").await;
    assert_eq!(popup["call_id"], json!(own));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_still_rings_is_shown_to_an_agent_who_becomes_free() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let file = "kind,site,number,name,members\nhelpline,default,240,Sales,201 202 203\n";
    assert_eq!(import(gateway, file).await.0, 200);
    let stream = "/api/v1/stream/popups?extension=203";
    let (mut hina, _) = Events::open_at(gateway, stream, "").await;
    let set_state = async |state: &str| {
        let state = json!({ "state": state });
        let target = "/api/v1/me/state?extension=203";
        let set = send(gateway, "PUT", target, "", Some(&state)).await;
        assert_eq!(set.status, 200);
    };
    set_state("paused").await;

    let waiting = report(&service, "incoming", 201, "0306666666").await;
    report(&service, "incoming", 202, "0306666666").await;
    // The window has heard of it before it hears of a call at its own phone.
    let own = report(&service, "incoming", 203, "0304444444").await;
    assert_eq!(hina.until("popup").await.1["call_id"], json!(own));
    report(&service, "missed", 203, "0304444444").await;
    set_state("available").await;

    let mut shown = hina.until("popup").await.1;
    while shown["call_id"] != json!(waiting) {
        shown = hina.until("popup").await.1;
    }
    assert_eq!(shown["kind"], "ring");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_an_account_is_offline_without_a_window() {
    let (service, data) = service().await;
    let gateway = service.gateway;
    let file = "kind,site,number,name,members\nperson,default,203,Hina Malik,\n";
    assert_eq!(import(gateway, file).await.0, 200);
    let hina = [
        "user", "add", "hina", "--role", "agent", "--site", "default",
    ];
    let link = printed(data.path(), &[&hina[..], &["--extension", "203"]].concat()).await;
    let body = json!({ "link": secret_of(&link) });
    let (cookie, _) = signed_in(gateway, &body).await;
    let person = async || {
        let people = send(gateway, "GET", "/api/v1/people", &cookie, None).await;
        people.body["people"][0].clone()
    };
    let until = async |state: &str| {
        let awaited = format!("an agent who is {state}");
        service
            .eventually(&awaited, async |_| {
                let now = person().await;
                let is_so = now["state"] == state && now["window_open"] == (state == "available");
                is_so.then_some(()).ok_or(now.to_string())
            })
            .await;
    };
    assert_eq!(person().await["since"], Value::Null, "there was no window");

    until("offline").await;
    let (window, _) = Events::open_at(gateway, "/api/v1/stream/popups", &cookie).await;
    until("available").await;
    let ledger = SqliteLedger::open(&data.path().join("cordboard.db")).await;
    let ledger = ledger.expect("the database of the service");
    service
        .eventually("the stored window", async |_| {
            let windows = ledger.last_windows(None, At(0)).await.unwrap();
            let is_stored = windows.iter().any(|window| window.is_open);
            is_stored.then_some(()).ok_or(format!("{windows:?}"))
        })
        .await;
    drop(window);
    until("offline").await;
    assert!(person().await["since"].is_string(), "it was seen");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_phone_takes_no_calls_is_shown_as_such() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let file = "kind,site,number,name,members\n\
                person,default,203,Hina Malik,\n\
                helpline,default,240,Sales,201 202 203\n";
    assert_eq!(import(gateway, file).await.0, 200);
    let stream = "/api/v1/stream/popups?extension=203";
    let (mut hina, hello) = Events::open_at(gateway, stream, "").await;
    assert_eq!(hello["dnd"], false);
    let state_of = async || {
        let people = service.ask("/api/v1/people").await;
        people["people"][0]["state"].clone()
    };

    // Phones do not name their account with every mode.
    report(&service, "registered", 203, "").await;
    let mode = async |mode: &str| {
        let target = format!("/gs/cti/{mode}?mac=000b82000203");
        service.send(&target).await.expect("an accepted event");
    };
    mode("dnd_on").await;
    assert_eq!(hina.until("state").await.1["dnd"], true);
    assert_eq!(state_of().await, "dnd");
    report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "incoming", 202, CUSTOMER).await;
    let own = report(&service, "incoming", 203, "0301111111").await;
    let popup = hina.until("popup").await.1;
    assert_eq!(
        popup["call_id"],
        json!(own),
        "a call that rings elsewhere is not shown"
    );

    mode("dnd_off").await;
    assert_eq!(hina.until("state").await.1["dnd"], false);
    assert_eq!(state_of().await, "ringing");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_popup_of_a_helpline_ends_with_its_call_whichever_phones_ring_by_then() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let file = "kind,site,number,name,members\nhelpline,default,240,Sales,201 202 203\n";
    assert_eq!(import(gateway, file).await.0, 200);
    let stream = "/api/v1/stream/popups?extension=203";
    let (mut hina, _) = Events::open_at(gateway, stream, "").await;

    let id = report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "incoming", 202, CUSTOMER).await;
    assert_eq!(hina.until("popup").await.1["kind"], "ring");
    report(&service, "incoming", 209, CUSTOMER).await;
    report(&service, "answered", 209, CUSTOMER).await;

    let mut popup = hina.until("popup").await.1;
    while popup["kind"] == "ring" {
        popup = hina.until("popup").await.1;
    }
    assert_eq!(
        (&popup["call_id"], &popup["kind"]),
        (&json!(id), &json!("taken"))
    );
    assert_eq!(popup["taken_by"], "209");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_follow_a_directory_that_another_process_changes() {
    let (service, data) = service().await;
    let gateway = service.gateway;
    let ledger = SqliteLedger::open(&data.path().join("cordboard.db")).await;
    let ledger = ledger.expect("the database of the service");
    let stream = "/api/v1/stream/popups?extension=203";
    let (hina, _) = Events::open_at(gateway, stream, "Connection: close\r\n").await;

    let sales = Entry::Helpline(Helpline {
        site: "default".to_owned(),
        number: "240".to_owned(),
        name: "Sales".to_owned(),
        members: ["201", "202", "203"].map(ToOwned::to_owned).to_vec(),
    });
    ledger.put(&[sales]).await.unwrap();
    hina.until_end().await;

    let (mut hina, _) = Events::open_at(gateway, stream, "").await;
    // A pause that is begun here and ended by another process is over.
    let pause = json!({ "state": "paused" });
    let target = "/api/v1/me/state?extension=203";
    let paused = send(gateway, "PUT", target, "", Some(&pause)).await;
    assert_eq!(paused.status, 200);
    ledger.end_pause("default", "203").await.unwrap();
    report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "incoming", 202, CUSTOMER).await;
    assert_eq!(hina.until("popup").await.1["for"]["name"], "Sales");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_turns_out_to_be_missed_after_a_gap_is_shown() {
    let (service, _data) = service().await;
    let id = report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "missed", 201, CUSTOMER).await;
    service
        .eventually("the end of the ring", async |service| {
            let calls = service.ask("/api/v1/calls").await;
            let outcome = calls["calls"][0]["participants"][0]["outcome"].as_str();
            let has_ended = outcome.is_some_and(|outcome| outcome != "ringing");
            has_ended.then_some(()).ok_or(calls.to_string())
        })
        .await;

    // The gap ends before it is decided whether another phone rings.
    let stream = "/api/v1/stream/popups?extension=201";
    let (mut hina, hello) = Events::open_at(service.gateway, stream, "").await;
    assert_eq!(hello["popups"], json!([]));
    let (_, popup) = hina.until("popup").await;
    assert_eq!(
        (&popup["call_id"], &popup["kind"]),
        (&json!(id), &json!("missed"))
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_helpline_reaches_its_agents_who_can_take_it() {
    let (service, _data) = service().await;
    let gateway = service.gateway;
    let file = "kind,site,number,name,members\n\
                person,default,203,Hina Malik,\n\
                helpline,default,240,Sales,201 202 203 204\n";
    assert_eq!(import(gateway, file).await.0, 200);
    let stream = |extension: u32| format!("/api/v1/stream/popups?extension={extension}");
    let (mut hina, hello) = Events::open_at(gateway, &stream(203), "").await;
    assert_eq!(hello["state"], "available");
    let (mut omar, _) = Events::open_at(gateway, &stream(204), "").await;

    // Two phones of the helpline ring, and two agents are free.
    let first = report(&service, "incoming", 201, CUSTOMER).await;
    report(&service, "incoming", 202, CUSTOMER).await;
    for agent in [&mut hina, &mut omar] {
        let (_, popup) = agent.until("popup").await;
        assert_eq!(popup["call_id"], json!(first));
        assert_eq!(
            (&popup["kind"], &popup["at_phone"]),
            (&json!("ring"), &json!(false))
        );
        assert_eq!(popup["for"]["name"], "Sales");
    }
    let claim = format!("/api/v1/popups/{first}/claim?extension=203");
    assert_eq!(post(gateway, &claim, &json!(null)).await.0, 200);
    report(&service, "answered", 202, CUSTOMER).await;
    loop {
        let (_, popup) = hina.until("popup").await;
        if popup["kind"] == "taken" {
            assert_eq!(popup["taken_by"], "202");
            break;
        }
    }
    report(&service, "hangup", 202, CUSTOMER).await;

    // One of them pauses, the other one is on the phone.
    let pause = json!({ "state": "paused", "reason": "Lunch" });
    let target = "/api/v1/me/state?extension=203";
    let paused = send(gateway, "PUT", target, "", Some(&pause)).await;
    assert_eq!(
        (paused.status, &paused.body["state"]),
        (200, &json!("paused"))
    );
    report(&service, "outgoing", 204, "0302222222").await;
    report(&service, "answered", 204, "0302222222").await;
    let person = desk_of(&service, "people").await.remove(0);
    assert_eq!(
        (&person["state"], &person["reason"]),
        (&json!("paused"), &json!("Lunch"))
    );
    assert_eq!(person["window_open"], true);
    report(&service, "incoming", 201, "0303333333").await;
    report(&service, "incoming", 202, "0303333333").await;
    report(&service, "answered", 201, "0303333333").await;

    // The next popup of both is a call at their own phones.
    let own = report(&service, "incoming", 203, "0304444444").await;
    let (_, popup) = hina.until("popup").await;
    assert_eq!(
        (&popup["call_id"], &popup["at_phone"]),
        (&json!(own), &json!(true))
    );
    let own = report(&service, "incoming", 204, "0305555555").await;
    let mut shown = omar.until("popup").await.1;
    while shown["call_id"] == json!(first) {
        shown = omar.until("popup").await.1;
    }
    assert_eq!(shown["call_id"], json!(own));
    service.stop().await;
}
