//! Devices and extensions of a site. They change rarely and are read often, so a small cache
//! answers where the service has one.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::response::{error_response, json_response, unavailable_response};
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::live::CacheKey;
use crate::port::query::ReportedExtension;
use crate::wire::instant;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteParameters {
    site: Option<String>,
}

type SiteQuery = Result<QueryString<SiteParameters>, QueryRejection>;

/// The requested site, or an error response.
fn requested_site(parameters: SiteQuery) -> Result<String, Box<Response>> {
    let bad_parameter = |message: &str| {
        Box::new(error_response(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            message,
        ))
    };

    let QueryString(SiteParameters { site }) =
        parameters.map_err(|error| bad_parameter(&error.body_text()))?;
    let site = site
        .map_or_else(|| Some(Site::default()), |name| Site::parse(&name))
        .ok_or_else(|| bad_parameter("`site` is not a site name"))?;

    Ok(site.as_str().to_owned())
}

pub(super) async fn devices(State(gateway): State<Gateway>, parameters: SiteQuery) -> Response {
    let site = match requested_site(parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    read_through_cache(&gateway, CacheKey::Devices { site: &site }, async {
        let devices = gateway.query.devices(&site).await?;
        let devices: Vec<Value> = devices
            .iter()
            .map(|(device, last_seen)| {
                json!({ "mac": device, "last_seen": instant::text(At(*last_seen)) })
            })
            .collect();
        Ok(Some(json!({ "devices": devices })))
    })
    .await
}

pub(super) async fn extensions(State(gateway): State<Gateway>, parameters: SiteQuery) -> Response {
    let site = match requested_site(parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    read_through_cache(&gateway, CacheKey::Extensions { site: &site }, async {
        let extensions = gateway.query.extensions(&site).await?;
        let extensions: Vec<Value> = extensions.iter().map(extension_json).collect();
        Ok(Some(json!({ "extensions": extensions })))
    })
    .await
}

pub(super) async fn extension(
    State(gateway): State<Gateway>,
    Path(extension): Path<String>,
    parameters: SiteQuery,
) -> Response {
    let site = match requested_site(parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    let key = CacheKey::Extension {
        site: &site,
        extension: &extension,
    };

    read_through_cache(&gateway, key, async {
        let extensions = gateway.query.extensions(&site).await?;
        Ok(extensions
            .iter()
            .find(|candidate| candidate.extension == extension)
            .map(extension_json))
    })
    .await
}

fn extension_json(extension: &ReportedExtension) -> Value {
    json!({
        "extension": extension.extension,
        "first_report": instant::text(At(extension.first_report)),
        "agent": extension.agent,
        "name": extension.name.as_deref(),
    })
}

/// Responds from the cache, or from `load` and writes its value to the cache. A missing value is
/// not cached, because it may be stored at any moment.
async fn read_through_cache(
    gateway: &Gateway,
    key: CacheKey<'_>,
    load: impl Future<Output = Result<Option<Value>, LedgerError>>,
) -> Response {
    let cached = match &gateway.directory {
        Some(directory) => directory.cached(key).await,
        None => None,
    };
    if let Some(cached) = cached {
        return json_response(StatusCode::OK, cached);
    }

    match load.await {
        Ok(Some(value)) => {
            let text = value.to_string();
            if let Some(directory) = &gateway.directory {
                directory.cache(key, &text).await;
            }
            json_response(StatusCode::OK, text)
        }
        Ok(None) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such extension",
        ),
        Err(error) => unavailable_response(&error),
    }
}
