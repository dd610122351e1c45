//! Settings that change under a running service, and those with which none starts.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::http;
use crate::support::service::{Service, command, output, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_invalid_settings_changes_nothing_and_one_of_valid_settings_takes_effect() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("settings.toml");
    let write = |text: &str| fs::write(&config, text).unwrap();
    let key = |letter: char| {
        format!("[ingress.keys.{letter}]\nsecret = \"the secret of the key {letter}, 32 bytes\"\n")
    };
    let path = config.to_str().unwrap();
    let token = async || {
        let output = run(
            data.path(),
            &["phone-token", "000b82000001", "--config", path],
        )
        .await;
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.lines().last().unwrap().to_owned()
    };
    let event = |token: &str| format!("/gs/cti/{token}/incoming?mac=000b82000001&remote=1");

    write(&key('a'));
    let old = event(&token().await);
    let service = Service::begin(command(data.path(), &["serve", "--config", path], &[])).await;
    service.wait_until_ready().await;

    write("[ingress]\nkeyss = 1");
    service.signal(Signal::HUP);
    let line = service.log_until("cannot be reloaded").await;
    assert!(line.contains("keyss"), "{line}");
    assert!(service.send(&old).await.is_some());
    assert_eq!(service.metric("cordboard_reload_failures_total").await, 1);

    write(&(key('a') + &key('b')));
    service.signal(Signal::HUP);
    service.log_until("denied devices reloaded").await;
    let new = event(&token().await);
    assert_ne!(old, new);
    assert!(
        service.send(&old).await.is_some() && service.send(&new).await.is_some(),
        "both keys are valid while phones change over"
    );

    write(&key('b'));
    service.signal(Signal::HUP);
    service.log_until("denied devices reloaded").await;
    assert!(service.send(&old).await.is_none());
    assert!(service.send(&new).await.is_some());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_gone_after_a_reload_do_not_open_the_door() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("settings.toml");
    fs::write(
        &config,
        "[ingress.keys.a]\nsecret = \"a secret of at least 32 bytes, or so\"\n",
    )
    .unwrap();
    let arguments = ["serve", "--config", config.to_str().unwrap()];
    let public = [("INGRESS__LISTEN", "0.0.0.0:0")];
    let service = Service::begin(command(data.path(), &arguments, &public)).await;
    service.wait_until_ready().await;

    fs::write(&config, "").unwrap();
    service.signal(Signal::HUP);
    let line = service.log_until("cannot be reloaded").await;
    assert!(line.contains("no credentials are checked"), "{line}");

    let ingress = ([127, 0, 0, 1], service.ingress.port()).into();
    let (status, _) = http::get(ingress, "/gs/cti/incoming?mac=000b82000001&remote=1").await;
    assert_eq!(status, 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_cannot_start_says_why_on_one_line() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "x").unwrap();
    let secret = data.path().join("secret");
    fs::write(&secret, "hush hush hush hush hush hush hu").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();

    for (key, value, code, expected) in [
        ("DATA_DIR", file.to_str().unwrap(), 69, "/file: "),
        ("INGRESS__LISTEN", &taken, 69, "another process"),
        ("INGRESS__LISTEN", "0.0.0.0:0", 78, "allow_unauthenticated"),
        (
            "INGRESS__KEYS__A__SECRET_FILE",
            secret.to_str().unwrap(),
            78,
            "every user of this machine",
        ),
        ("INGRESS__KEYS__A__SECRET", "", 78, "0 bytes"),
        ("INGRESS__TICK_MS", "5s", 78, "tick_ms"),
        ("LOG__FILTER", "a=b=c", 78, "log.filter"),
    ] {
        let output = output(command(data.path(), &["serve"], &[(key, value)])).await;
        let log = String::from_utf8_lossy(&output.stderr);
        let reasons: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("cordboard: "))
            .collect();

        assert!(
            output.status.code() == Some(code)
                && reasons.len() == 1
                && reasons[0].contains(expected),
            "{key}={value}: {:?} {log}",
            output.status
        );
        assert!(!log.contains("hush"));
    }
}
