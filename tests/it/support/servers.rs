//! Real servers: those of the run, shared by all tests, and private ones to break. `tests/servers`
//! starts and stops them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// Where servers listen.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    pub amqp: String,
    pub management: String,
    pub redis: String,
    pub database: String,
}

const NAMES: [&str; 4] = [
    "CORDBOARD_TEST_AMQP_URL",
    "CORDBOARD_TEST_AMQP_MANAGEMENT_URL",
    "CORDBOARD_TEST_REDIS_URL",
    "CORDBOARD_TEST_DATABASE_URL",
];

impl Urls {
    /// Reads `NAME=VALUE` lines.
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Urls {
        let mut urls = Urls::default();
        for (name, value) in lines.filter_map(|line| line.split_once('=')) {
            let places = [
                &mut urls.amqp,
                &mut urls.management,
                &mut urls.redis,
                &mut urls.database,
            ];
            let known = NAMES
                .into_iter()
                .zip(places)
                .find(|(known, _)| *known == name);
            if let Some((_, place)) = known {
                value.clone_into(place);
            }
        }
        urls
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers"))
}

/// The servers of this run: those named in the environment, or private ones that live as long as
/// the run does.
pub fn shared() -> &'static Urls {
    static SHARED: OnceLock<Urls> = OnceLock::new();
    SHARED.get_or_init(|| {
        let given: Vec<String> = std::env::vars()
            .filter(|(name, _)| NAMES.contains(&name.as_str()))
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        if given.len() == NAMES.len() {
            return Urls::read(given.iter().map(String::as_str));
        }
        assert!(
            given.is_empty(),
            "either all of {NAMES:?} are given, or none: {given:?}"
        );
        started_once()
    })
}

#[expect(
    clippy::zombie_processes,
    reason = "the servers outlive this program, and end with the run"
)]
/// Several test programs run one after the other, or at once: the first one starts the servers, for
/// as long as `cargo test` lives.
fn started_once() -> Urls {
    let run = run();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("servers-of-{run}"));
    let lock = File::create(folder.join("servers.lock")).unwrap();
    lock.lock().unwrap();
    if let Ok(text) = fs::read_to_string(&path) {
        return Urls::read(text.lines());
    }
    // Files of runs that are over.
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let over = name
            .strip_prefix("servers-of-")
            .and_then(|pid| pid.parse().ok())
            .is_some_and(|pid: u32| !is_alive(pid));
        if over {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
    // In a group of its own: an interrupt at the terminal ends the run, and the end of the run ends
    // the servers.
    let mut child = script()
        .args(["--while", &run.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("tests/servers can be run");
    let lines = until_ready(&mut BufReader::new(child.stdout.take().unwrap()));
    fs::write(&path, lines.join("\n")).unwrap();
    Urls::read(lines.iter().map(String::as_str))
}

/// A Python that knows AMQP, installed where it is missing.
pub fn python() -> String {
    let output = script()
        .arg("pika")
        .output()
        .expect("tests/servers can be run");
    let lines = String::from_utf8_lossy(&output.stdout);
    let python = lines
        .lines()
        .find_map(|line| line.strip_prefix("CORDBOARD_TEST_PYTHON="));
    python
        .unwrap_or_else(|| {
            panic!(
                "no Python with pika: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
        .to_owned()
}

/// The process of the run: `cargo test` where it started this program, else this program.
fn run() -> u32 {
    let parent = std::os::unix::process::parent_id();
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name.starts_with("cargo") {
        parent
    } else {
        std::process::id()
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn until_ready(from: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            from.read_line(&mut line).unwrap() > 0,
            "the servers did not start; `tests/servers` says why: {lines:?}"
        );
        if line.trim() == "READY" {
            return lines;
        }
        lines.push(line.trim().to_owned());
    }
}

/// Private servers, to be killed, frozen and started again.
pub struct Servers {
    pub urls: Urls,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Servers {
    pub fn start(kinds: &[&str]) -> Servers {
        let mut child = script()
            .args(kinds)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/servers can be run");
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let lines = until_ready(&mut answers);
        Servers {
            urls: Urls::read(lines.iter().map(String::as_str)),
            child,
            orders,
            answers,
        }
    }

    /// Does as `tests/servers` says, and waits until it is done.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done", "{order}");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of the orders is the order to end.
        drop(self.orders.take());
        let _ended = self.child.wait();
    }
}
