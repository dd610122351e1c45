//! The gateway: the API, the event stream, the page, and the operations listener.
//!
//! It only reads calls; call states and accounts are what its API writes. Every request has a
//! principal (`sign_in`), which decides what it sees (`visible`). The live view and
//! the cache are optional: without them the ledger answers.

mod administration;
mod api;
mod assets;
mod call_links;
mod call_table;
mod contacts;
mod csv;
mod desk;
mod directory;
mod directory_entries;
mod directory_file;
mod etag;
mod events;
mod explanation;
mod feed;
mod guard;
mod idempotency;
mod lookups;
mod openapi;
mod operations;
mod parameters;
mod people;
mod popups;
mod programs;
mod response;
mod sign_in;
mod sites;
mod socket;
mod states;
mod stream;
mod transfers;
mod visible;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::port::claims::Claims;
use crate::port::clock::Clock;
use crate::port::desk::Desk;
use crate::port::directory::Directory;
use crate::port::ledger::FactHistory;
use crate::port::links::Links;
use crate::port::live::{LiveDirectory, Presence};
use crate::port::query::Query;
use crate::port::repeats::Repeats;
use crate::port::watch::Watch;
use crate::port::windows::Windows;
use crate::wire::policy_file::Policies;

pub use contacts::{AddressTemplate, CallerBook, LookUp, PageOpens};
pub use desk::DeskBell;
pub use events::EventKeeper;
pub use feed::Feed;
pub use guard::OwnHosts;
pub use operations::{Health, router as operations_router};
pub use popups::Switch;
pub use sign_in::{Access, Credential};
pub use sites::{Goals, Sites};
pub use states::{CallStates, Outdated};
pub use transfers::AwaitedTransfers;
pub use webhooks::Dispatcher;

/// Paths of the page: each is served the same document.
const PAGES: [&str; 12] = [
    "/",
    "/live",
    "/today",
    "/missed",
    "/calls/{id}",
    "/statistics",
    "/phones",
    "/agent",
    "/settings",
    "/settings/{section}",
    "/api",
    "/sign-in",
];

/// The ports behind the gateway.
#[derive(Clone)]
pub struct Gateway {
    pub query: Arc<dyn Query>,
    pub watch: Arc<dyn Watch>,
    pub states: CallStates,
    /// The live view, asked before the ledger.
    pub directory: Option<Arc<dyn LiveDirectory>>,
    /// Presence of agents with an open socket.
    pub presence: Option<Arc<dyn Presence>>,
    pub clock: Arc<dyn Clock>,
    pub watchers: WatcherLimit,
    pub access: Arc<Access>,
    pub desk: Arc<dyn Desk>,
    pub desk_bell: DeskBell,
    /// Goals and opening hours.
    pub sites: Sites,
    pub people: Arc<dyn Directory>,
    pub callers: CallerBook,
    pub claims: Arc<dyn Claims>,
    pub windows: Arc<dyn Windows>,
    pub links: Arc<dyn Links>,
    /// The name of this process among the gateways.
    pub process: Arc<str>,
    pub popups: Arc<Switch>,
    pub webhooks: Dispatcher,
    pub transfers: AwaitedTransfers,
    /// The event log; nothing without Redis.
    pub events: Option<EventKeeper>,
    /// Requests of clients that are carried out once.
    pub repeats: Arc<dyn Repeats>,
    /// Facts and rules, to explain records.
    pub history: Arc<dyn FactHistory>,
    pub policies: Policies,
}

impl FromRef<Gateway> for Arc<Access> {
    fn from_ref(gateway: &Gateway) -> Arc<Access> {
        Arc::clone(&gateway.access)
    }
}

/// The limit on open event streams and sockets, and their pings.
#[derive(Clone)]
pub struct WatcherLimit {
    /// Fewer than the connections of the listener, so that some are left for the API.
    open: Arc<Semaphore>,
    /// The interval of pings on a quiet socket, and of comments on a quiet stream.
    ping_every: Duration,
}

impl WatcherLimit {
    #[must_use]
    pub fn new(watchers_max: usize, ping_every: Duration) -> WatcherLimit {
        WatcherLimit {
            open: Arc::new(Semaphore::new(watchers_max)),
            ping_every,
        }
    }
}

impl Gateway {
    /// Open calls from the live view; `None` unless the view is complete.
    async fn live_calls(&self) -> Option<Vec<String>> {
        self.directory.as_ref()?.open_calls().await
    }
}

/// Routes of the API that need a principal.
fn identified_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(api::calls))
        .routes(routes!(api::live))
        .routes(routes!(api::call))
        .routes(routes!(call_links::link))
        .routes(routes!(call_links::unlink))
        .routes(routes!(explanation::explanation))
        .routes(routes!(api::stats))
        .routes(routes!(desk::routes::entries, desk::routes::change))
        .routes(routes!(desk::statistics::statistics))
        .routes(routes!(people::people))
        .routes(routes!(people::helplines))
        .routes(routes!(directory_file::export, directory_file::import))
        .routes(routes!(directory_entries::remove_person))
        .routes(routes!(directory_entries::remove_helpline))
        .routes(routes!(directory::sites))
        .routes(routes!(directory::devices))
        .routes(routes!(directory::extensions))
        .routes(routes!(directory::extension))
        .routes(routes!(stream::events))
        .merge(contacts::routes())
        .merge(popups::routes())
        .merge(states::routes())
        .merge(sign_in::routes())
        .merge(sites::routes())
        .merge(webhooks::routes())
        .merge(transfers::routes())
        .merge(events::routes())
        .merge(administration::routes())
}

/// Routes of the API that need none, or check it themselves.
fn open_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(stream::socket))
        .merge(popups::open_routes())
        .routes(routes!(openapi::served))
        .merge(sign_in::open_routes())
}

/// The description of the API.
#[must_use]
pub fn api_description() -> OpenApi {
    let identified = identified_routes().into_openapi();

    openapi::describe(identified, open_routes().into_openapi())
}

/// The routes of the gateway listener: page, API and event stream.
pub fn router(gateway: Gateway, hosts: OwnHosts) -> Router {
    let identified = from_fn_with_state(Arc::clone(&gateway.access), sign_in::identify);
    let document = openapi::Document::new(&api_description());
    let once = from_fn_with_state(gateway.clone(), idempotency::once);
    let api = Router::from(identified_routes())
        .layer(once)
        .layer(identified)
        .merge(Router::from(open_routes()))
        .layer(Extension(document))
        .layer(from_fn(etag::tagged));
    let pages = PAGES.into_iter().fold(Router::new(), |pages, path| {
        pages.route(path, get(assets::index))
    });

    pages
        .route("/page/{name}", get(assets::asset))
        .merge(api)
        .with_state(gateway)
        .fallback(response::unknown_path)
        .method_not_allowed_fallback(response::unknown_method)
        .layer(from_fn_with_state(hosts, guard::guard))
}
