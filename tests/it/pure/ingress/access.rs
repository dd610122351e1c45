//! Access to the ingress: tokens, networks and proxies. All rejections look alike.

use cordboard::domain::device::Device;
use cordboard::ingress::auth::{Access, Key};

use crate::support::ingress::{LIMITS, MemoryIntake, Running};

async fn start(access: Access) -> Running {
    Running::start(access, LIMITS, MemoryIntake::default()).await
}

/// The answer to a `GET`, without its date.
async fn undated_answer(running: &Running, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let answer = running.talk(request.as_bytes()).await;
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| !line.starts_with("date:"))
        .collect();

    lines.join("\n")
}

/// The status of an event of this phone with a token.
async fn status(running: &Running, token: &str, mac: &str) -> u16 {
    let line = format!("GET /gs/cti/{token}/incoming?mac={mac}&remote=1");

    running.status(line.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_phone_looks_like_no_path_at_all() {
    let key = Key::new('a', "secret").unwrap();
    let mine = key.token(&Device::parse("000b82000001").unwrap());
    let running = start(Access {
        keys: vec![key],
        ..Access::default()
    })
    .await;

    assert_eq!(status(&running, &mine, "00:0B:82:00:00:01").await, 200);
    let stored = String::from_utf8(running.messages().remove(0)).unwrap();
    assert!(!stored.contains(&mine), "a token is never stored");

    let strange = undated_answer(&running, "/nowhere").await;
    for wrong in [
        &*format!("/gs/cti/{mine}/incoming?mac=000b82000002&remote=1"),
        "/gs/cti/nonsense/incoming?mac=000b82000001&remote=1",
        "/gs/cti/incoming?mac=000b82000001&remote=1",
        "/gs/cti/incoming?remote=1",
    ] {
        assert_eq!(undated_answer(&running, wrong).await, strange, "{wrong}");
    }

    assert_eq!(running.facts().len(), 1);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authority_all_answers_are_equal() {
    let phone = Device::parse("000b82000001").unwrap();
    let denied = Device::parse("000b82000009").unwrap();
    let key = Key::new('b', "secret").unwrap();
    let good = key.token(&phone);
    let old = Key::new('a', "before").unwrap().token(&phone);
    let denied_token = key.token(&denied);
    let running = start(Access {
        keys: vec![key],
        denied: vec![denied],
        ..Access::default()
    })
    .await;

    let mut flipped = good.clone().into_bytes();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    let strange = undated_answer(&running, "/nowhere").await;
    for (token, mac) in [
        ("", "000b82000001"),
        ("wrong", "000b82000001"),
        (good.as_str(), "000b82000002"),
        (&old, "000b82000001"),
        (&good.replacen('b', "z", 1), "000b82000001"),
        (&flipped, "000b82000001"),
        (&good[..good.len() - 1], "000b82000001"),
        (&format!("{good}a"), "000b82000001"),
        (&good.to_uppercase(), "000b82000001"),
        (&good.replace('a', "%D0%B0"), "000b82000002"),
        (&denied_token, "000b82000009"),
        ("../gs/cti", "000b82000001"),
    ] {
        let path = if token.is_empty() {
            String::new()
        } else {
            format!("{token}/")
        };
        let target = format!("/gs/cti/{path}incoming?mac={mac}&remote=1");
        let answer = undated_answer(&running, &target).await;
        assert_eq!(answer, strange, "{token} {mac}");
    }

    assert_eq!(running.facts().len(), 0);
    assert_eq!(status(&running, &good, "00:0B:82:00:00:01").await, 200);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_network_is_refused() {
    let running = start(Access {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..Access::default()
    })
    .await;

    let status = running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await;
    assert_eq!(status, 404);
    running.end().await;
}

/// The answer to an event that a proxy passes on from this address.
async fn forwarded(running: &Running, from: &str) -> String {
    let request = format!(
        "GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\n\
         X-Forwarded-For: {from}\r\nConnection: close\r\n\r\n"
    );

    running.talk(request.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_the_address_of_the_phone_counts_and_without_one_the_header_does_not() {
    let access = Access {
        networks: vec!["10.1.0.0/16".parse().unwrap()],
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Access::default()
    };
    let running = start(access.clone()).await;
    for (from, status) in [
        ("10.1.2.3", "200"),
        ("10.2.2.3", "404"),
        ("10.1.2.3, 10.2.2.3", "404"),
        ("", "404"),
        ("10.2.2.3, 10.1.2.3", "200"),
    ] {
        let answer = forwarded(&running, from).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{from}: {answer}"
        );
    }
    let stored = String::from_utf8(running.messages().remove(0)).unwrap();
    assert!(stored.contains("10.1.2.3"), "the address is stored");
    running.end().await;

    let running = start(Access {
        trusted_proxies: Vec::new(),
        ..access
    })
    .await;
    let answer = forwarded(&running, "10.1.2.3").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    running.end().await;
}
