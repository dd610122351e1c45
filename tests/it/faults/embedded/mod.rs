//! What goes wrong around the service: a database that is locked or damaged, a journal without
//! room, settings that cannot be read, signals, a service manager. Phones are served as long as
//! anything can be kept, and whoever operates it is told what to do.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::support::ledger::block_on;
use crate::support::service::{Person, Service, command, no_difference, run, stored_events, write};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// Another program that has the database open and lets nobody write.
struct Lock(SqliteConnection);

impl Lock {
    fn take(data: &Path) -> Lock {
        block_on(async {
            let options =
                sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("cordboard.db"));
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut connection)
                .await
                .unwrap();
            Lock(connection)
        })
    }

    fn release(mut self) {
        block_on(async { sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap() });
    }
}

/// A folder in which the service has run before.
fn used() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111000&c=old")
        .unwrap();
    service.stop();
    data
}

fn ready_state(service: &Service) -> (u16, Value) {
    let (status, body) = Service::get(service.operations, "/readyz");
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn phones_are_served_while_the_database_is_locked_at_the_start() {
    let data = used();
    let lock = Lock::take(data.path());
    let mut service = Service::begin(command(data.path(), &["serve"], &[]));
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    let (status, state) = ready_state(&service);
    assert_eq!(
        (status, &state["status"]),
        (200, &Value::from("degraded")),
        "events are taken"
    );
    let mut person = Person::at(&service);
    person.begin_to_ask();
    assert_eq!(person.end_asking(), 503, "there is nothing to show yet");
    person.begin_to_ask();
    lock.release();
    service.wait_until_ready();
    assert_eq!(
        person.end_asking(),
        200,
        "whoever had begun to ask is answered all the same"
    );
    service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    service.stop();
    assert_eq!(stored_events(data.path()).len(), 3);
    no_difference(data.path());
}

#[test]
fn a_database_that_is_locked_meanwhile_holds_the_batch_and_loses_nothing() {
    let data = used();
    let service = Service::start(data.path());
    let mut events = service.watch(None);
    let lock = Lock::take(data.path());
    service
        .send("/gs/cti/incoming?mac=000b82000002&local=202&remote=+4930111333&c=b")
        .unwrap();
    assert_eq!(
        stored_events(data.path()).len(),
        1,
        "it waits in the journal"
    );
    assert!(service.metric("cordboard_journal_depth_records") >= 1);
    service.log_until("waits for the database");
    let (status, state) = ready_state(&service);
    assert_eq!(
        (status, &state["status"]),
        (200, &Value::from("degraded")),
        "{state}"
    );
    assert_eq!(service.metric("cordboard_conservation"), 0);
    lock.release();
    assert_eq!(
        events.until("call.started").1["call"]["from"]["e164"],
        "+4930111333"
    );
    assert_eq!(ready_state(&service).1["status"], "ready");
    service.stop();
    no_difference(data.path());
}

#[test]
fn a_second_signal_ends_at_once_what_a_first_one_would_wait_for() {
    let data = used();
    let service = Service::start(data.path());
    let lock = Lock::take(data.path());
    let id = service
        .send("/gs/cti/incoming?mac=000b82000002&local=202&remote=+4930111333&c=b")
        .unwrap();
    service.signal(Signal::INT);
    service.log_until("stopping");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0, Some(0), "asked to, it ended");
    lock.release();
    Service::start(data.path()).stop();
    assert!(
        stored_events(data.path()).contains(&id),
        "what was accepted before is stored by the next one"
    );
}

#[test]
fn phones_are_served_beside_a_damaged_database_and_the_operator_is_told() {
    let data = used();
    fs::write(data.path().join("cordboard.db"), vec![0x5a; 64 * 1024]).unwrap();
    for name in ["cordboard.db-wal", "cordboard.db-shm"] {
        let _absent = fs::remove_file(data.path().join(name));
    }
    let service = Service::begin(command(data.path(), &["serve"], &[]));
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    let told = service.log_until("waiting for the database").pop().unwrap();
    assert!(told.contains("not a database"), "{told}");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0, Some(0));
    let output = run(data.path(), &["doctor"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.code() == Some(69)
            && told.contains("problem  database")
            && told.contains("backup"),
        "{told}"
    );
}

#[test]
fn a_journal_without_room_refuses_says_so_and_recovers_by_itself() {
    let data = used();
    let tight = [
        ("JOURNAL__SEGMENT_BYTES", "4096"),
        ("JOURNAL__TOTAL_BYTES_MAX", "16384"),
    ];
    let mut service = Service::begin(command(data.path(), &["serve"], &tight));
    service.wait_until_ready();
    let lock = Lock::take(data.path());
    let mut accepted = 1;
    let event = |n: usize| {
        format!("/gs/cti/incoming?mac=000b8200{n:04}&local=2{n:03}&remote=+49301{n:05}&c={n}")
    };
    while service.send(&event(accepted)).is_some() {
        accepted += 1;
        assert!(accepted < 1_000, "the journal is small");
    }
    let (status, body) = Service::get(service.phones, &event(0));
    assert!(
        status == 503 && body.contains("not_durable"),
        "{status} {body}"
    );
    let (status, state) = ready_state(&service);
    assert_eq!(
        (status, &state["status"], &state["journal"]),
        (503, &"unready".into(), &"the journal is full".into())
    );
    assert!(
        service
            .log_until("the journal takes no events")
            .pop()
            .unwrap()
            .contains("free space")
    );
    assert_eq!(service.metric("cordboard_journal_refusing"), 1);
    lock.release();
    service.log_until("the journal takes events again");
    service.send(&event(accepted)).unwrap();
    service.stop();
    assert_eq!(
        stored_events(data.path()).len(),
        accepted + 1,
        "all that was accepted, nothing that was not"
    );
    no_difference(data.path());
}

#[test]
fn a_damaged_journal_costs_what_was_hit_and_can_be_made_to_refuse() {
    let data = used();
    let service = Service::start(data.path());
    let lock = Lock::take(data.path());
    for n in 0..20 {
        service
            .send(&format!(
                "/gs/cti/incoming?mac=000b820000{n:02}&local=2{n:02}&remote=+493011100{n:02}&c={n}"
            ))
            .unwrap();
    }
    service.kill();
    lock.release();
    let journal = data.path().join("journal");
    let segment = fs::read_dir(&journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "seg"));
    let segment = segment.max().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // Not the last one: what is broken at the very end is taken for an append that a crash
    // interrupted.
    let hit = bytes
        .windows(12)
        .position(|window| window == b"+49301110007")
        .unwrap();
    bytes[hit] ^= 0xff;
    fs::write(&segment, &bytes).unwrap();

    let strict = Service::begin(command(
        data.path(),
        &["serve"],
        &[("JOURNAL__REFUSE_DAMAGED", "true")],
    ));
    let (code, told) = strict.ended();
    assert!(
        code == Some(69) && told.iter().any(|line| line.contains("refuse_damaged")),
        "{code:?} {told:#?}"
    );
    let service = Service::start(data.path());
    assert!(service.metric("cordboard_journal_damaged_bytes_total") > 0);
    service.stop();
    assert_eq!(
        stored_events(data.path()).len(),
        20,
        "one of the 21 was hit"
    );
    assert!(
        journal
            .join("corrupt")
            .join(segment.file_name().unwrap())
            .exists()
    );
    no_difference(data.path());
}

#[test]
fn settings_that_cannot_be_read_again_change_nothing_and_those_that_can_do() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("settings.toml");
    let write = |text: &str| fs::write(&config, text).unwrap();
    let key = |letter: char| format!("[ingress.keys.{letter}]\nsecret = \"secret {letter}\"\n");
    write(&key('a'));
    let path = config.to_str().unwrap();
    let token = || {
        let output = run(data.path(), &["token", "000b82000001", "--config", path]);
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .last()
            .unwrap()
            .to_owned()
    };
    let event = |token: &str| format!("/gs/cti/{token}/incoming?mac=000b82000001&remote=1");
    let old = token();
    let mut service = Service::begin(command(data.path(), &["serve", "--config", path], &[]));
    service.wait_until_ready();
    write("[ingress]\nkeyss = 1");
    service.signal(Signal::HUP);
    assert!(
        service
            .log_until("cannot be read again")
            .pop()
            .unwrap()
            .contains("keyss")
    );
    assert!(
        service.send(&event(&old)).is_some()
            && service.metric("cordboard_reload_failures_total") == 1
    );
    write(&(key('a') + &key('b')));
    service.signal(Signal::HUP);
    service.log_until("were read again");
    let new = token();
    assert!(
        old != new && service.send(&event(&old)).is_some() && service.send(&event(&new)).is_some(),
        "both live while phones change over"
    );
    write(&key('b'));
    service.signal(Signal::HUP);
    service.log_until("were read again");
    assert!(service.send(&event(&old)).is_none() && service.send(&event(&new)).is_some());
    service.stop();
}

#[test]
fn a_service_manager_is_told_of_every_stage_and_fed() {
    let data = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(data.path().join("manager")).unwrap();
    let mut command = command(data.path(), &["serve"], &[]);
    command
        .env("NOTIFY_SOCKET", data.path().join("manager"))
        .env("WATCHDOG_USEC", "3000000");
    let mut service = Service::begin(command);
    service.wait_until_ready();
    let wait_for = |expected: &str| {
        let mut buffer = [0; 200];
        loop {
            let length = manager.recv(&mut buffer).unwrap();
            if buffer[..length].starts_with(expected.as_bytes()) {
                return;
            }
        }
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    service.signal(Signal::TERM);
    wait_for("STOPPING=1");
    assert_eq!(service.ended().0, Some(0));
}

#[test]
fn a_service_manager_is_not_kept_waiting_for_a_database() {
    let data = used();
    let manager = UnixDatagram::bind(data.path().join("manager")).unwrap();
    let lock = Lock::take(data.path());
    let mut command = command(data.path(), &["serve"], &[]);
    command.env("NOTIFY_SOCKET", data.path().join("manager"));
    let mut service = Service::begin(command);
    let mut told = [0; 100];
    let length = manager.recv(&mut told).unwrap();
    assert!(told[..length].starts_with(b"READY=1"), "events are taken");
    lock.release();
    service.wait_until_ready();
    service.stop();
}

#[test]
fn what_cannot_start_says_why_on_one_line() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "x").unwrap();
    let secret = data.path().join("secret");
    fs::File::create(&secret)
        .unwrap()
        .write_all(b"hush")
        .unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
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
        ("INGRESS__KEYS__A__SECRET", "", 78, "empty"),
        ("INGRESS__TICK_MS", "5s", 78, "tick_ms"),
        ("LOG__FILTER", "a=b=c", 78, "log.filter"),
    ] {
        let output = command(data.path(), &["serve"], &[(key, value)])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("cordboard: "))
            .collect();
        assert!(
            output.status.code() == Some(code) && said.len() == 1 && said[0].contains(expected),
            "{key}={value}: {:?} {told}",
            output.status
        );
        assert!(!told.contains("hush"));
    }
}

#[test]
fn the_doctor_finds_nothing_wrong_beside_a_running_service_nor_without_one() {
    let data = used();
    let sound = |expected: &str| {
        let output = run(data.path(), &["doctor"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() == Some(0) && told.contains(expected),
            "{told}"
        );
    };
    sound("0 of them wait");
    let service = Service::start(data.path());
    sound("in use by a running service");
    service.stop();
}

#[test]
fn the_doctor_finds_a_database_that_takes_no_writes_or_comes_from_the_future() {
    let data = used();
    let bad = |expected: &str| {
        let output = run(data.path(), &["doctor"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() == Some(69)
                && told.contains("problem  database")
                && told.contains(expected),
            "{told}"
        );
    };
    let lock = Lock::take(data.path());
    bad("locked");
    lock.release();
    write(
        data.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)",
    );
    bad("newer");
}

#[test]
fn no_number_no_name_and_no_token_is_ever_logged_or_counted() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        ("INGRESS__KEYS__A__SECRET", "canary-secret"),
        ("LOG__FILTER", "trace"),
    ];
    let output = command(data.path(), &["token", "000b82000001"], &settings)
        .output()
        .unwrap();
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let mut service = Service::begin(command(data.path(), &["serve"], &settings));
    service.wait_until_ready();
    let mut events = service.watch(None);
    for (event, expected) in [
        (
            format!(
                "{token}/incoming?mac=000b82000001&local=201&remote=+4930987654321&n=Canary Bird&c=1"
            ),
            200,
        ),
        (
            format!("{token}/answered?mac=000b82000001&local=201&remote=+4930987654321&c=1"),
            200,
        ),
        (
            format!("{token}/incoming?mac=000b82000002&remote=+4930987654321&n=Canary Bird"),
            404,
        ),
        (
            format!("{token}/incoming?mac=000b82000001&remote=+4930987654321%00"),
            404,
        ),
        (
            "incoming?remote=+4930987654321&n=Canary Bird".to_owned(),
            404,
        ),
    ] {
        assert_eq!(
            Service::get(service.phones, &format!("/gs/cti/{event}")).0,
            expected,
            "{event}"
        );
    }
    // A line that no parser takes.
    let mut socket = TcpStream::connect(service.phones).unwrap();
    socket
        .write_all(b"\x01 +4930987654321 Canary\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let metrics = Service::get(service.operations, "/metrics").1;
    assert_eq!(
        events.until("call.answered").1["call"]["from"]["name"],
        "Canary Bird",
        "people see it"
    );
    service.signal(Signal::TERM);
    let (code, log) = service.ended();
    assert_eq!(code, Some(0));
    for canary in ["4930987654321", "Canary", "canary-secret", &token] {
        let found: Vec<&String> = log.iter().filter(|line| line.contains(canary)).collect();
        assert!(
            found.is_empty() && !metrics.contains(canary),
            "{canary}: {found:#?}"
        );
    }
}

/// Sets how large a file of the process may become, as a full disk would.
fn limit_files(service: &Service, bytes: Option<u64>) {
    prlimit(
        Some(service.pid()),
        Resource::Fsize,
        Rlimit {
            current: bytes,
            maximum: None,
        },
    )
    .unwrap();
}

#[test]
fn a_commit_that_fails_for_want_of_room_is_made_good_when_there_is_some() {
    let data = used();
    // A process that is not killed for it sees a failed write, as on a full disk.
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let inner = command(
        data.path(),
        &["serve"],
        &[("JOURNAL__SEGMENT_BYTES", "65536")],
    );
    ignoring.arg(inner.get_program()).args(inner.get_args());
    ignoring.envs(
        inner
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let mut service = Service::begin(ignoring);
    service.wait_until_ready();
    let event = |n: usize| {
        format!("/gs/cti/incoming?mac=000b8201{n:04}&local=3{n:03}&remote=+49302{n:05}&c={n}")
    };
    let size = fs::metadata(data.path().join("cordboard.db-wal"))
        .unwrap()
        .len();
    limit_files(&service, Some(size + 20_000));
    let mut sent = 0;
    while !service.log_has("waits for the database") {
        service.send(&event(sent)).unwrap();
        sent += 1;
        assert!(sent < 2_000, "the room is small");
    }
    assert_eq!(ready_state(&service).1["status"], "degraded");
    service.send(&event(sent)).unwrap();
    limit_files(&service, None);
    service.log_until("the database answers again");
    service.stop();
    assert_eq!(stored_events(data.path()).len(), sent + 2);
    no_difference(data.path());
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let data = tempfile::tempdir().unwrap();
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let mut child = command(data.path(), &["serve"], &[("LOG__FORMAT", "json")])
        .stdout(full())
        .stderr(full())
        .spawn()
        .unwrap();
    // It can say nothing: where it listens stands in the kernel's list.
    let sockets = || {
        fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
    };
    let inodes = || {
        sockets()
            .filter_map(|link| {
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')
                    .map(str::to_owned)
            })
            .collect::<Vec<_>>()
    };
    let ports = || -> Vec<u16> {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", child.id())).unwrap();
        let ours = inodes();
        let listening = table
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mine = listening
            .filter(|columns| columns[3] == "0A" && ours.iter().any(|inode| inode == columns[9]));
        mine.map(|columns| u16::from_str_radix(columns[1].rsplit(':').next().unwrap(), 16).unwrap())
            .collect()
    };
    // One of them says when it is ready; until then who asks may be cut off, when those who only
    // say that one has to wait make way.
    let is_ready = |port: u16| {
        Service::try_get(([127, 0, 0, 1], port).into(), "/readyz")
            .is_ok_and(|(status, _)| status == 200)
    };
    while ports().len() < 3 || !ports().into_iter().any(is_ready) {}
    for port in ports() {
        for _ in 0..50 {
            assert_ne!(
                Service::get(([127, 0, 0, 1], port).into(), "/nowhere").0,
                200
            );
        }
    }
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn keys_that_are_gone_after_a_reload_do_not_open_the_door() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("settings.toml");
    fs::write(&config, "[ingress.keys.a]\nsecret = \"s\"\n").unwrap();
    let settings = [("INGRESS__LISTEN", "0.0.0.0:0")];
    let mut service = Service::begin(command(
        data.path(),
        &["serve", "--config", config.to_str().unwrap()],
        &settings,
    ));
    service.wait_until_ready();
    fs::write(&config, "").unwrap();
    service.signal(Signal::HUP);
    assert!(
        service
            .log_until("cannot be read again")
            .pop()
            .unwrap()
            .contains("nobody is asked who they are")
    );
    let phones = ([127, 0, 0, 1], service.phones.port()).into();
    assert_eq!(
        Service::get(phones, "/gs/cti/incoming?mac=000b82000001&remote=1").0,
        404
    );
    service.stop();
}

#[test]
fn a_new_database_gets_what_the_journal_still_holds() {
    let data = used();
    for name in ["cordboard.db", "cordboard.db-wal", "cordboard.db-shm"] {
        let _absent = fs::remove_file(data.path().join(name));
    }
    let service = Service::begin(command(data.path(), &["serve"], &[]));
    service.log_until("the database is new and the journal is not");
    service.stop();
    assert_eq!(stored_events(data.path()).len(), 1);
    no_difference(data.path());
}

/// The file of the database and those beside it, which nobody has open.
fn copy_database(from: &Path, to: &Path) {
    for name in ["cordboard.db", "cordboard.db-wal", "cordboard.db-shm"] {
        let _absent = (
            fs::remove_file(to.join(name)),
            fs::copy(from.join(name), to.join(name)),
        );
    }
}

#[test]
fn a_restored_database_is_given_what_the_journal_still_keeps() {
    let data = used();
    let backup = tempfile::tempdir().unwrap();
    copy_database(data.path(), backup.path());
    let service = Service::start(data.path());
    let later = service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111000&c=old")
        .unwrap();
    assert_ne!(
        run(data.path(), &["resend", "--since", "2000-01-01T00:00:00Z"])
            .status
            .code(),
        Some(0),
        "the journal is in use"
    );
    service.stop();
    copy_database(backup.path(), data.path());
    assert!(!stored_events(data.path()).contains(&later));
    for (more, told) in [
        (&["--dry-run"][..], "2 events would be sent again\n"),
        (&[], "2 events sent again\n"),
    ] {
        let output = run(
            data.path(),
            &[&["resend", "--since", "2000-01-01T00:00:00Z"], more].concat(),
        );
        assert_eq!(
            (
                output.status.code(),
                &*String::from_utf8(output.stdout).unwrap()
            ),
            (Some(0), told)
        );
    }
    let service = Service::start(data.path());
    while !stored_events(data.path()).contains(&later) {}
    service.stop();
    assert_eq!(stored_events(data.path()).len(), 2);
    no_difference(data.path());
    assert_eq!(
        run(data.path(), &["resend", "--since", "yesterday"])
            .status
            .code(),
        Some(64)
    );
    let nowhere = run(
        &data.path().join("nowhere"),
        &["resend", "--since", "2000-01-01T00:00:00Z"],
    );
    assert!(
        nowhere.status.code() == Some(69)
            && String::from_utf8(nowhere.stderr)
                .unwrap()
                .contains("settings of an ingress")
    );
}
