//! What changes rarely and is asked for often: devices and extensions. Read through a small cache,
//! where there is one.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::api::{problem, text, unavailable};
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::live::CacheKey;
use crate::port::query::KnownExtension;
use crate::wire::instant;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    site: Option<String>,
}

type Asked = Result<Parameters<Question>, QueryRejection>;

/// The site that is asked for, or what is wrong with it.
fn site(question: Asked) -> Result<String, Box<Response>> {
    let bad = |message: &str| Box::new(problem(StatusCode::BAD_REQUEST, "bad_parameter", message));
    let Parameters(Question { site }) = question.map_err(|error| bad(&error.body_text()))?;
    let site = site
        .map_or_else(|| Some(Site::default()), |name| Site::parse(&name))
        .ok_or_else(|| bad("`site` is no site name"))?;
    Ok(site.as_str().to_owned())
}

pub(super) async fn devices(State(gateway): State<Gateway>, question: Asked) -> Response {
    let site = match site(question) {
        Ok(site) => site,
        Err(refusal) => return *refusal,
    };
    through(&gateway, CacheKey::Devices { site: &site }, async {
        let devices = gateway.query.devices(&site).await?;
        let shown = devices
            .iter()
            .map(|(device, seen)| json!({ "mac": device, "last_seen": instant::text(At(*seen)) }));
        Ok(Some(json!({ "devices": shown.collect::<Vec<_>>() })))
    })
    .await
}

pub(super) async fn extensions(State(gateway): State<Gateway>, question: Asked) -> Response {
    let site = match site(question) {
        Ok(site) => site,
        Err(refusal) => return *refusal,
    };
    through(&gateway, CacheKey::Extensions { site: &site }, async {
        let known = gateway.query.extensions(&site).await?;
        Ok(Some(
            json!({ "extensions": known.iter().map(shown).collect::<Vec<_>>() }),
        ))
    })
    .await
}

pub(super) async fn extension(
    State(gateway): State<Gateway>,
    Path(extension): Path<String>,
    question: Asked,
) -> Response {
    let site = match site(question) {
        Ok(site) => site,
        Err(refusal) => return *refusal,
    };
    through(
        &gateway,
        CacheKey::Extension {
            site: &site,
            extension: &extension,
        },
        async {
            let known = gateway.query.extensions(&site).await?;
            Ok(known
                .iter()
                .find(|known| known.extension == extension)
                .map(shown))
        },
    )
    .await
}

fn shown(known: &KnownExtension) -> Value {
    json!({
        "extension": known.extension,
        "first_report": instant::text(At(known.first_report)),
        "agent": known.agent,
        "name": known.name.as_deref(),
    })
}

/// From the cache, or from the ledger into the cache. What there is not, is not remembered: it may
/// come at any moment.
async fn through(
    gateway: &Gateway,
    key: CacheKey<'_>,
    ask: impl Future<Output = Result<Option<Value>, LedgerError>>,
) -> Response {
    let cached = match &gateway.directory {
        Some(directory) => directory.cached(key).await,
        None => None,
    };
    if let Some(cached) = cached {
        return text(StatusCode::OK, cached);
    }
    match ask.await {
        Ok(Some(found)) => {
            let found = found.to_string();
            if let Some(directory) = &gateway.directory {
                directory.cache(key, &found).await;
            }
            text(StatusCode::OK, found)
        }
        Ok(None) => problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such extension",
        ),
        Err(error) => unavailable(&error),
    }
}
