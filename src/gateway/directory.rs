//! Devices and extensions of a site. They change rarely and are read often, so a small cache
//! answers where the service has one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Gateway;
use super::parameters::{SiteListParameters, SiteParameters, checked_limit, query};
use super::response::{bad_parameter, error_response, json_response, unavailable_response};
use super::visible::site_of;
use crate::access::Principal;
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::live::CacheKey;
use crate::port::query::ReportedExtension;
use crate::wire::instant;

/// A list of one site.
struct SiteList {
    site: String,
    /// `None` for the whole list.
    limit: Option<usize>,
}

impl SiteList {
    fn requested(
        principal: &Principal,
        parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
    ) -> Result<SiteList, Box<Response>> {
        let checked = query(parameters).and_then(|SiteListParameters { site, limit }| {
            let limit = limit
                .map(|limit| checked_limit(Some(limit), limit))
                .transpose()?;

            Ok((site, limit.map(|limit| limit as usize)))
        });
        let (site, limit) = checked.map_err(|message| Box::new(bad_parameter(&message)))?;

        Ok(SiteList {
            site: site_name(principal, site)?,
            limit,
        })
    }

    /// The length to which the list is cut.
    fn length(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Responds with the list. Only whole lists are cached.
    async fn respond(
        &self,
        gateway: &Gateway,
        key: CacheKey<'_>,
        load: impl Future<Output = Result<Option<Value>, LedgerError>>,
    ) -> Response {
        if self.limit.is_none() {
            return read_through_cache(gateway, key, load).await;
        }

        match load.await {
            Ok(list) => json_response(StatusCode::OK, list.unwrap_or_default().to_string()),
            Err(error) => unavailable_response(&error),
        }
    }
}

/// The requested site, or the one that the principal is limited to.
fn site_name(principal: &Principal, requested: Option<String>) -> Result<String, Box<Response>> {
    let site = match site_of(principal, requested)? {
        None => Some(Site::default()),
        Some(name) => Site::parse(&name),
    };

    site.map(|site| site.as_str().to_owned())
        .ok_or_else(|| Box::new(bad_parameter("`site` is not a site name")))
}

/// The sites of the principal that have reported anything.
pub(super) async fn sites(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.query.sites().await {
        Ok(mut sites) => {
            sites.retain(|site| principal.sites.contains(site));
            json_response(StatusCode::OK, json!({ "sites": sites }).to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

pub(super) async fn devices(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
) -> Response {
    let list = match SiteList::requested(&principal, parameters) {
        Ok(list) => list,
        Err(response) => return *response,
    };

    let load = async {
        let devices = gateway.query.devices(&list.site).await?;
        let devices: Vec<Value> = devices
            .iter()
            .take(list.length())
            .map(|(device, last_seen)| {
                json!({ "mac": device, "last_seen": instant::text(At(*last_seen)) })
            })
            .collect();
        Ok(Some(json!({ "devices": devices })))
    };
    let key = CacheKey::Devices { site: &list.site };
    list.respond(&gateway, key, load).await
}

pub(super) async fn extensions(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
) -> Response {
    let list = match SiteList::requested(&principal, parameters) {
        Ok(list) => list,
        Err(response) => return *response,
    };

    let load = async {
        let extensions = gateway.query.extensions(&list.site).await?;
        let extensions: Vec<Value> = extensions
            .iter()
            .take(list.length())
            .map(extension_json)
            .collect();
        Ok(Some(json!({ "extensions": extensions })))
    };
    let key = CacheKey::Extensions { site: &list.site };
    list.respond(&gateway, key, load).await
}

pub(super) async fn extension(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(extension): Path<String>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    let requested = match query(parameters) {
        Ok(SiteParameters { site }) => site,
        Err(message) => return bad_parameter(&message),
    };
    let site = match site_name(&principal, requested) {
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
