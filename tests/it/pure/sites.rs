//! Goals and opening hours of sites, and what they mean for the desk.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::accounts::{printed, secret_of, signed_in};
use super::people::{missed_call, post, report, service};
use crate::support::http::send;

const RULES: &str = "/api/v1/site-rules";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The day of the week so many days after an instant.
fn day_after(now: Timestamp, days: usize) -> &'static str {
    let today = now.to_zoned(TimeZone::UTC).weekday();
    let today = usize::try_from(today.to_monday_zero_offset()).expect("a day");

    DAYS[(today + days) % DAYS.len()]
}

fn instant(value: &Value) -> Timestamp {
    let text = value.as_str().expect("an instant");

    text.parse().expect("an instant")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_a_closed_site_are_called_back_when_it_opens() {
    let (service, _data) = service().await;
    let list = service.ask("/api/v1/missed").await;
    let opening_day = day_after(instant(&list["read_at"]), 3);
    let target = format!("{RULES}/default");
    let put = async |rules: Value| service.call("PUT", &target, &rules).await;
    let (status, answer) = put(json!({
        "desk_goal_minutes": 5,
        "time_zone": "UTC",
        "hours": [{ "days": [opening_day], "from": "08:00", "to": "18:00" }],
    }))
    .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["is_open"], false);
    let goals = json!({
        "answer_goal_seconds": 20, "desk_goal_minutes": 5, "desk_escalation_minutes": 60
    });
    assert_eq!(answer["in_force"], goals);

    missed_call(&service, 201, 1).await;
    let list = service.ask("/api/v1/missed?site=default").await;
    let entry = &list["missed"][0];
    assert_eq!(
        (&list["goal_minutes"], &entry["off_hours"]),
        (&json!(5), &json!(true))
    );
    let due = instant(&entry["due_at"]).to_zoned(TimeZone::UTC);
    let opening = DAYS[usize::try_from(due.weekday().to_monday_zero_offset()).expect("a day")];
    assert_eq!((opening, due.hour(), due.minute()), (opening_day, 8, 5));

    let (status, answer) = put(json!({ "desk_goal_minutes": 7 })).await;
    assert_eq!((status, &answer["is_open"]), (200, &json!(true)));
    let list = service.ask("/api/v1/missed").await;
    let entry = &list["missed"][0];
    assert_eq!(entry["off_hours"], false);
    let wait = instant(&entry["due_at"]).duration_since(instant(&entry["first_missed_at"]));
    assert_eq!(wait.as_secs(), 7 * 60);
    // Other sites have the goal of the settings.
    assert_eq!(list["goal_minutes"], 30);

    assert_eq!(service.call("DELETE", &target, &Value::Null).await.0, 204);
    assert_eq!(service.call("DELETE", &target, &Value::Null).await.0, 404);
    let wrong = json!({ "hours": [{ "days": ["mon"], "from": "08:00", "to": "18:00" }] });
    let (status, answer) = service.call("PUT", &target, &wrong).await;
    assert_eq!((status, &answer["code"]), (400, &json!("bad_body")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_belong_to_the_sites_of_an_administrator() {
    let (service, data) = service().await;
    let mut cookies = Vec::new();
    for (name, role, sites) in [("ada", "admin", "berlin"), ("sue", "supervisor", "berlin")] {
        let add = ["user", "add", name, "--role", role, "--site", sites];
        let link = printed(data.path(), &add).await;
        let (cookie, _) = signed_in(service.gateway, &json!({ "link": secret_of(&link) })).await;
        cookies.push(cookie);
    }
    let [admin, supervisor] = &cookies[..] else {
        panic!("two people");
    };
    let rules = json!({ "answer_goal_seconds": 10 });
    let set = async |cookie: &str, site: &str| {
        let target = format!("{RULES}/{site}");
        let answer = send(service.gateway, "PUT", &target, cookie, Some(&rules)).await;
        answer.status
    };

    assert_eq!(set(admin, "berlin").await, 200);
    assert_eq!(set(admin, "paris").await, 403);
    assert_eq!(set(supervisor, "berlin").await, 403);

    let list = send(service.gateway, "GET", RULES, supervisor, None).await;
    let sites = list.body["sites"].as_array().expect("sites");
    assert_eq!(sites.len(), 1, "{sites:?}");
    assert_eq!(sites[0]["site"], "berlin");
    assert_eq!(sites[0]["in_force"]["answer_goal_seconds"], 10);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_counts_callers_and_how_soon_they_were_reached() {
    let (service, _data) = service().await;
    let statistics = async || service.ask("/api/v1/missed/statistics").await;
    missed_call(&service, 201, 1).await;
    let waiting = statistics().await;
    assert_eq!(
        (
            &waiting["callers"],
            &waiting["open"],
            &waiting["median_seconds"]
        ),
        (&json!(1), &json!(1), &Value::Null)
    );

    // He calls again in vain, and is reached then.
    missed_call(&service, 202, 2).await;
    report(&service, "incoming", 201, super::people::CUSTOMER).await;
    report(&service, "answered", 201, super::people::CUSTOMER).await;
    report(&service, "hangup", 201, super::people::CUSTOMER).await;
    let reached = service
        .eventually("a caller who was reached", async |service| {
            let found = service.ask("/api/v1/missed/statistics").await;
            if found["reached"] == 1 {
                Ok(found)
            } else {
                Err(found.to_string())
            }
        })
        .await;
    for (field, count) in [
        ("callers", 1),
        ("open", 0),
        ("done", 1),
        ("reached_in_goal", 1),
    ] {
        assert_eq!(reached[field], count, "{field} of {reached}");
    }
    assert_eq!(
        (&reached["is_complete"], &reached["overdue"]),
        (&json!(true), &json!(0))
    );
    assert!(
        reached["median_seconds"]
            .as_f64()
            .is_some_and(|wait| wait >= 0.0)
    );

    // Another caller, whom a person marks.
    let other = report(&service, "incoming", 203, "03099887766").await;
    report(&service, "missed", 203, "03099887766").await;
    let done = json!({ "call_ids": [other], "status": "done", "disposition": "not_needed" });
    service
        .eventually("an entry that can be changed", async |service| match post(
            service.gateway,
            "/api/v1/missed",
            &done,
        )
        .await
        {
            (200, _) => Ok(()),
            (status, answer) => Err(format!("{status} {answer}")),
        })
        .await;
    let marked = statistics().await;
    assert_eq!(marked["dispositions"], json!({ "not_needed": 1 }));
    assert_eq!(marked["people"].as_array().map(Vec::len), Some(1));
    service.stop().await;
}
