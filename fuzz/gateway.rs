//! Laws of the gateway that hold for any bytes: of a request to the API, and of a client's side of a
//! socket. Everything behind the gateway is empty.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use cordboard::access::{PasswordHash, SecretHash};
use cordboard::adapter::memory::MemoryOutbox;
use cordboard::domain::fact::Site;
use cordboard::domain::time::{At, Span};
use cordboard::gateway::{
    self, Access, AwaitedTransfers, CallStates, Dispatcher, Gateway, Outdated, OwnHosts,
    WatcherLimit,
};
use cordboard::port::accounts::{Accounts, ApiToken, AuditEntry, SecretKind, User, UserSecret};
use cordboard::port::claims::{Claim, Claims};
use cordboard::port::clock::Clock;
use cordboard::port::desk::{Desk, DeskChange, DeskEntry, DeskPage, DeskState};
use cordboard::port::directory::{Directory, Entry, Helpline, Pause, Person};
use cordboard::port::ledger::{FactHistory, LedgerError};
use cordboard::port::query::{
    CallFilter, HourStats, OperationCounts, Query, ReportedExtension, StoredCall,
};
use cordboard::port::states::{
    CallPlace, CallState, Joined, OutdatedState, OutdatedStates, Registered, Registration,
    StateChange, StateLedger, StateName,
};
use cordboard::port::transfers::{RegisteredTransfer, Transfers};
use cordboard::port::webhooks::{
    Delivery, DeliveryState, Hold, NewMessage, PlacedNotification, SendError, Sender, Waiting,
    Webhook, Webhooks,
};
use cordboard::wire::policy_file::Policies;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The longest time for a request or a connection: nothing behind the gateway waits.
const DEADLINE: Duration = Duration::from_secs(5);
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const BUFFER: usize = 64 << 10;

struct Nothing;

#[async_trait]
impl Query for Nothing {
    async fn calls(&self, _: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        Ok(Vec::new())
    }

    async fn call(&self, _: &str) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn stats(&self, _: Option<&str>, _: i64, _: i64) -> Result<Vec<HourStats>, LedgerError> {
        Ok(Vec::new())
    }

    async fn sites(&self) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }

    async fn devices(&self, _: &str) -> Result<Vec<(String, i64)>, LedgerError> {
        Ok(Vec::new())
    }

    async fn extensions(&self, _: &str) -> Result<Vec<ReportedExtension>, LedgerError> {
        Ok(Vec::new())
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        Ok(OperationCounts::default())
    }
}

#[async_trait]
impl StateLedger for Nothing {
    async fn register(&self, state: &CallState) -> Result<Registration, LedgerError> {
        Ok(Registration {
            state: state.clone(),
            session_before: None,
            is_stored: true,
        })
    }

    async fn update(&self, _: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError> {
        Ok(None)
    }

    async fn by_id(&self, _: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(None)
    }

    async fn places(&self, _: &[String]) -> Result<Vec<CallPlace>, LedgerError> {
        Ok(Vec::new())
    }

    async fn by_session(&self, _: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(None)
    }

    async fn active(&self, _: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn ended_since(&self, _: At, _: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn close_older(&self, _: At, _: At) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn unregister(&self, _: Registered<'_>) -> Result<Vec<Joined>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl OutdatedStates for Nothing {
    async fn note_outdated(&self, _: &StateName) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn outdated(&self, _: u32) -> Result<Vec<OutdatedState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn forget_outdated(&self, _: &OutdatedState) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Desk for Nothing {
    async fn entries(&self, _: &DeskPage) -> Result<Vec<DeskEntry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn verify_reached(&self, _: At) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn states(&self, _: &[String]) -> Result<Vec<DeskState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn change(&self, _: &DeskChange) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[async_trait]
impl Directory for Nothing {
    async fn people(&self, _: Option<&str>) -> Result<Vec<Person>, LedgerError> {
        Ok(Vec::new())
    }

    async fn helplines(&self, _: Option<&str>) -> Result<Vec<Helpline>, LedgerError> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &[Entry]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn pauses(&self, _: Option<&str>) -> Result<Vec<Pause>, LedgerError> {
        Ok(Vec::new())
    }

    async fn pause(&self, _: &Pause) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn end_pause(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Claims for Nothing {
    async fn claim(&self, _: &Claim, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn claim_of(&self, _: &str, _: At) -> Result<Option<Claim>, LedgerError> {
        Ok(None)
    }
}

#[async_trait]
impl FactHistory for Nothing {
    async fn fact_messages(
        &self,
        _: &Site,
        _: At,
        _: At,
        _: u32,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Accounts for Nothing {
    async fn has_accounts(&self) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn user(&self, _: &str) -> Result<Option<User>, LedgerError> {
        Ok(None)
    }

    async fn users(&self) -> Result<Vec<User>, LedgerError> {
        Ok(Vec::new())
    }

    async fn add_user(&self, _: &User) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn update_user(&self, _: &User, _: &User) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn add_session(
        &self,
        _: &UserSecret,
        _: Option<&PasswordHash>,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_password(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn set_password(
        &self,
        _: &str,
        _: &PasswordHash,
        _: Option<&PasswordHash>,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_user(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn add_secret(&self, _: &UserSecret) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn secret(
        &self,
        _: &SecretHash,
        _: SecretKind,
    ) -> Result<Option<(UserSecret, User)>, LedgerError> {
        Ok(None)
    }

    async fn touch_secret(&self, _: &SecretHash, _: At, _: Option<At>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_secret(&self, _: &SecretHash) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_expired(&self, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_secrets(&self, _: &str, _: Option<&SecretHash>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn add_token(&self, _: &ApiToken) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn token(&self, _: &SecretHash) -> Result<Option<ApiToken>, LedgerError> {
        Ok(None)
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, LedgerError> {
        Ok(Vec::new())
    }

    async fn revoke_token(&self, _: &str, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn record(&self, _: &AuditEntry) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn audit_entries(&self, _: u32) -> Result<Vec<AuditEntry>, LedgerError> {
        Ok(Vec::new())
    }
}

impl Clock for Nothing {
    fn now(&self) -> At {
        At(1_800_000_000_000_000)
    }

    fn steady(&self) -> Span {
        Span(0)
    }
}

#[async_trait]
impl Transfers for Nothing {
    async fn begin(&self, _: &RegisteredTransfer) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn transfer(&self, _: &str) -> Result<Option<RegisteredTransfer>, LedgerError> {
        Ok(None)
    }

    async fn transfer_of_call(&self, _: &str) -> Result<Option<RegisteredTransfer>, LedgerError> {
        Ok(None)
    }

    async fn transfers_under_way(&self, _: u32) -> Result<Vec<RegisteredTransfer>, LedgerError> {
        Ok(Vec::new())
    }

    async fn decide(&self, _: &str, _: &str, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn forget_transfers(&self, _: At) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Webhooks for Nothing {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        Ok(Vec::new())
    }

    async fn webhook(&self, _: &str) -> Result<Option<Webhook>, LedgerError> {
        Ok(None)
    }

    async fn add_webhook(&self, _: &Webhook, _: u32, _: u32) -> Result<bool, LedgerError> {
        Ok(true)
    }

    async fn update_webhook(&self, _: &Webhook) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn end_webhook(&self, _: &Webhook, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_webhook(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn skip_notifications(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn unsent_notifications(&self, _: u32) -> Result<Vec<PlacedNotification>, LedgerError> {
        Ok(Vec::new())
    }

    async fn add_messages(&self, _: &[NewMessage]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn advance(&self, _: &PlacedNotification) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn fail_waiting(&self, _: &Webhook, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn rest_webhook(&self, _: &Webhook, _: Span) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn wake_webhook(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn hold_making(&self, _: &str, _: Span, _: u32) -> Result<Option<At>, LedgerError> {
        Ok(None)
    }

    async fn release_making(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn hold_webhook(&self, _: &str, _: &str, _: At, _: Span) -> Result<Hold, LedgerError> {
        Ok(Hold::NothingDue)
    }

    async fn release_webhook(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn due_deliveries(&self, _: &str, _: At, _: u32) -> Result<Vec<Delivery>, LedgerError> {
        Ok(Vec::new())
    }

    async fn settle_delivery(&self, _: &Delivery) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn deliveries(
        &self,
        _: &str,
        _: Option<DeliveryState>,
        _: u32,
    ) -> Result<Vec<Delivery>, LedgerError> {
        Ok(Vec::new())
    }

    async fn count_waiting(&self, _: &str, _: Waiting, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }

    async fn delivery(&self, _: &str, _: &str) -> Result<Option<Delivery>, LedgerError> {
        Ok(None)
    }

    async fn repeat_delivery(&self, _: &str, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn forget_deliveries(&self, _: At, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[async_trait]
impl Sender for Nothing {
    fn check(&self, _: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn post(
        &self,
        _: &str,
        _: &[(&'static str, String)],
        _: String,
    ) -> Result<u16, SendError> {
        Ok(204)
    }
}

fn router() -> Router {
    let gateway = Gateway {
        query: Arc::new(Nothing),
        watch: Arc::new(MemoryOutbox::default()),
        states: CallStates {
            ledger: Arc::new(Nothing),
            directory: None,
            clock: Arc::new(Nothing),
            outdated: Outdated::default(),
        },
        directory: None,
        presence: None,
        clock: Arc::new(Nothing),
        watchers: WatcherLimit::new(4, Duration::from_secs(20)),
        access: Arc::new(Access::new(Arc::new(Nothing), Arc::new(Nothing), true)),
        desk: Arc::new(Nothing),
        desk_goal_minutes: 30,
        people: Arc::new(Nothing),
        claims: Arc::new(Nothing),
        popups: Arc::default(),
        events: None,
        webhooks: Dispatcher::new(
            "",
            Arc::new(Nothing),
            Arc::new(Nothing),
            Arc::new(MemoryOutbox::default()),
            Arc::new(Nothing),
        ),
        transfers: AwaitedTransfers::new(
            Arc::new(Nothing),
            Arc::new(Nothing),
            None,
            Arc::new(MemoryOutbox::default()),
            Arc::new(Nothing),
        ),
        history: Arc::new(Nothing),
        policies: Policies::default(),
    };

    gateway::router(gateway, OwnHosts::new("gateway", &[]))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Every request has an answer that is no failure of the gateway, and whose error is a problem document. The input
/// is a path and query below `/api/v1`, a line break, and a body, which makes it a `POST`.
pub fn api(bytes: &[u8]) {
    let (target, body) = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or((bytes, None), |end| {
            (&bytes[..end], Some(&bytes[end + 1..]))
        });
    let method = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let target = [b"/api/v1", target].concat();
    let Ok(request) = Request::builder()
        .method(method)
        .uri(target.as_slice())
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from(body.unwrap_or_default().to_vec()))
    else {
        return;
    };
    // An event stream never ends.
    if request.uri().path().starts_with("/api/v1/stream") {
        return;
    }

    runtime().block_on(async {
        let answer = TowerToHyperService::new(router()).call(request);
        let answer = timeout(DEADLINE, answer).await.expect("an answer in time");
        let answer = answer.expect("an answer");
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;

        assert!(!status.is_server_error(), "{status}");
        if status == StatusCode::BAD_REQUEST {
            let body = body.expect("a body");
            let error: serde_json::Value = serde_json::from_slice(&body).expect("an error in JSON");
            assert_eq!(error["status"], 400);
        }
    });
}

/// Whatever a client sends on its socket, the gateway answers with frames or closes it, and ends when
/// the client does.
pub fn socket(bytes: &[u8]) {
    runtime().block_on(async {
        let (near, far) = duplex(BUFFER);
        let served = http1::Builder::new()
            .serve_connection(TokioIo::new(far), TowerToHyperService::new(router()))
            .with_upgrades();
        let served = tokio::spawn(served);
        let (mut read, mut write) = tokio::io::split(near);

        let client = async {
            write.write_all(UPGRADE).await.expect("an open connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(read.read_u8().await.expect("an answer"));
            }
            assert!(head.starts_with(b"HTTP/1.1 101"));

            // The gateway may have closed it already.
            let _ = write.write_all(bytes).await;
            let _ = write.shutdown().await;
            let _ = read.read_to_end(&mut Vec::new()).await;
        };
        timeout(DEADLINE, client).await.expect("the end in time");

        let served = timeout(DEADLINE, served).await.expect("the end in time");
        assert!(!served.is_err_and(|error| error.is_panic()));
    });
}
