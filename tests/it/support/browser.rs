//! A real browser: headless Chromium, driven over the `DevTools` protocol. Each test has a browser
//! of its own, with an empty profile.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::log;
use super::wait::{PATIENCE, eventually, within};

/// Names of the program, by distribution.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A running browser.
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    /// Errors of pages that were not looked at yet.
    errors: VecDeque<String>,
    _child: Child,
    _profile: TempDir,
}

/// A tab of the browser.
#[derive(Clone)]
pub struct Tab(String);

impl Browser {
    pub async fn open() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        command
            .arg("--headless=new")
            // Tests run as root in containers, where Chromium has no sandbox.
            .arg("--no-sandbox")
            .arg("--disable-dev-shm-usage")
            .arg("--disable-background-networking")
            .arg("--no-first-run")
            .arg("--lang=en-GB")
            .arg("--window-size=1440,900")
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let (child, _output, errors) = log::spawn(&mut command);

        let line = errors.until(PATIENCE, "DevTools listening on ").await;
        let address = line.split("listening on ").nth(1).unwrap().trim();
        let connected = within(PATIENCE, "the browser", connect_async(address)).await;

        Browser {
            socket: connected.unwrap().0,
            next_id: 0,
            errors: VecDeque::new(),
            _child: child,
            _profile: profile,
        }
    }

    /// Opens a page of the service in a tab of its own.
    pub async fn tab(&mut self, gateway: SocketAddr, path: &str) -> Tab {
        let blank = json!({ "url": "about:blank" });
        let target = self.call(None, "Target.createTarget", blank).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach).await;
        let tab = Tab(session["sessionId"].as_str().unwrap().to_owned());

        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(Some(&tab), &format!("{domain}.enable"), json!({}))
                .await;
        }
        self.go(&tab, gateway, path).await;

        tab
    }

    pub async fn go(&mut self, tab: &Tab, gateway: SocketAddr, path: &str) {
        let url = json!({ "url": format!("http://localhost:{}{path}", gateway.port()) });
        self.call(Some(tab), "Page.navigate", url).await;
    }

    /// Brings a tab to the front; the others are hidden.
    pub async fn show(&mut self, tab: &Tab) {
        self.call(Some(tab), "Page.bringToFront", json!({})).await;
    }

    /// Cuts the network of a tab, or mends it.
    pub async fn set_offline(&mut self, tab: &Tab, is_offline: bool) {
        let conditions = json!({
            "offline": is_offline,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": -1,
        });
        self.call(Some(tab), "Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// The value of an expression in the page.
    pub async fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let evaluated = json!({
            "expression": expression,
            "returnByValue": true,
            "awaitPromise": true,
        });
        let result = self.call(Some(tab), "Runtime.evaluate", evaluated).await;
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {result}"
        );

        result["result"]["value"].clone()
    }

    /// The text that a person sees.
    pub async fn text(&mut self, tab: &Tab) -> String {
        let text = self.eval(tab, "document.body?.innerText ?? ''").await;

        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    pub async fn until_shown(&mut self, tab: &Tab, text: &str) {
        eventually(PATIENCE, &format!("{text:?} on the page"), async || {
            let shown = self.text(tab).await;
            shown.contains(text).then_some(()).ok_or(shown)
        })
        .await;
    }

    /// Waits until the page does not show a text any more.
    pub async fn until_gone(&mut self, tab: &Tab, text: &str) {
        eventually(
            PATIENCE,
            &format!("{text:?} to leave the page"),
            async || {
                let shown = self.text(tab).await;
                (!shown.contains(text)).then_some(()).ok_or(shown)
            },
        )
        .await;
    }

    /// Presses the first button or link with this text.
    pub async fn press(&mut self, tab: &Tab, text: &str) {
        let expression = format!(
            "(() => {{
                const all = [...document.querySelectorAll('button, a')];
                const found = all.find(each => each.innerText.trim().startsWith({}));
                found?.click();
                return Boolean(found);
            }})()",
            json!(text)
        );

        eventually(PATIENCE, &format!("a button {text:?}"), async || {
            let pressed = self.eval(tab, &expression).await;
            (pressed == true).then_some(()).ok_or(self.text(tab).await)
        })
        .await;
    }

    /// Fails when a page reported a script error or a breach of its policy. Answers of the service
    /// with an error status are no defect of the page.
    pub fn assert_no_errors(&mut self) {
        let errors: Vec<String> = self.errors.drain(..).collect();

        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    async fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(Tab(session)) = tab {
            message["sessionId"] = session.as_str().into();
        }
        let sent = self.socket.send(Message::text(message.to_string())).await;
        sent.unwrap();

        let answer = async {
            loop {
                let message = self.socket.next().await.unwrap().unwrap();
                let Ok(text) = message.into_text() else {
                    continue;
                };
                let value: Value = serde_json::from_str(&text).unwrap_or_default();
                if value["id"] == id {
                    return value;
                }
                self.errors.extend(error_of(&value));
            }
        };
        let answer = within(PATIENCE, method, answer).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");

        answer["result"].clone()
    }
}

fn error_of(event: &Value) -> Option<String> {
    let parameters = &event["params"];

    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Log.entryAdded"
            if parameters["entry"]["level"] == "error"
                && parameters["entry"]["source"] != "network" =>
        {
            Some(parameters["entry"].to_string())
        }
        _ => None,
    }
}

fn program() -> &'static str {
    let answers = |name: &&str| {
        let version = std::process::Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };

    PROGRAMS
        .into_iter()
        .find(answers)
        .unwrap_or_else(|| panic!("no browser: one of {} is needed", PROGRAMS.join(", ")))
}
