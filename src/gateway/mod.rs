//! What people and programs see: the API, the event stream, the page, and the signs of life for
//! operations.

mod api;
mod directory;
mod operations;
mod query_text;
mod states;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::port::clock::Clock;
use crate::port::live::{LiveDirectory, Presence};
use crate::port::query::Query;
use crate::port::watch::Watch;

pub use operations::{Health, router as operations_router};
pub use states::CallStates;

const PAGE: &str = include_str!("page.html");

/// What the gateway answers from.
#[derive(Clone)]
pub struct Gateway {
    pub query: Arc<dyn Query>,
    pub watch: Arc<dyn Watch>,
    pub states: CallStates,
    /// Where live calls are looked up first, if anywhere.
    pub directory: Option<Arc<dyn LiveDirectory>>,
    /// Where it is shown who is there, if anywhere.
    pub presence: Option<Arc<dyn Presence>>,
    pub clock: Arc<dyn Clock>,
}

impl Gateway {
    /// Live calls as they are shown, if all of them are.
    async fn live(&self) -> Option<Vec<String>> {
        self.directory.as_ref()?.open_calls().await
    }
}

/// The routes for people and programs.
pub fn router(gateway: Gateway) -> Router {
    let api = Router::new()
        .route("/calls", get(api::calls))
        .route("/calls/live", get(api::live))
        .route("/calls/{id}", get(api::call))
        .route("/missed", get(api::missed))
        .route("/stats", get(api::stats))
        .route("/devices", get(directory::devices))
        .route("/extensions", get(directory::extensions))
        .route("/extensions/{extension}", get(directory::extension))
        .nest("/call-states", states::routes())
        .route("/stream", get(stream::events));
    Router::new()
        .route("/", get(page))
        .route("/ws", get(stream::socket))
        .nest("/api/v1", api)
        .with_state(gateway)
}

async fn page() -> impl IntoResponse {
    let policy = HeaderValue::from_static(
        "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    );
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (
        [
            (CONTENT_TYPE, html),
            (CONTENT_SECURITY_POLICY, policy),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        PAGE,
    )
}
