//! Devices and extensions of a site. They change rarely and are read often, so a small cache
//! answers where the service has one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Gateway;
use super::parameters::{Segment, SiteListParameters, SiteParameters, checked_limit, query};
use super::response::{
    bad_parameter, document_response, error_response, json_response, unavailable_response,
};
use super::visible::one_site_of;
use crate::access::Principal;
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
            site: one_site_of(principal, site)?,
            limit,
        })
    }

    /// The length to which the list is cut.
    fn length(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Responds with the list. Only whole lists are cached.
    async fn respond<T: Serialize>(
        &self,
        gateway: &Gateway,
        key: CacheKey<'_>,
        load: impl Future<Output = Result<T, LedgerError>>,
    ) -> Response {
        let load = async { load.await.map(Some) };
        if self.limit.is_none() {
            return read_through_cache(gateway, key, load).await;
        }

        match load.await {
            Ok(list) => document_response(StatusCode::OK, &list),
            Err(error) => unavailable_response(&error),
        }
    }
}

/// A list of sites.
#[derive(Serialize, ToSchema)]
struct SiteNames {
    sites: Vec<String>,
}

/// A phone.
#[derive(Serialize, ToSchema)]
struct Device {
    mac: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// The account that the phone named last.
    extension: Option<String>,
    model: Option<String>,
    firmware: Option<String>,
    /// The instant since when it takes no calls (do not disturb).
    #[schema(format = DateTime)]
    dnd_since: Option<String>,
}

/// A list of phones.
#[derive(Serialize, ToSchema)]
struct DeviceList {
    devices: Vec<Device>,
}

/// An extension that has reported.
#[derive(Serialize, ToSchema)]
#[schema(as = Extension)]
struct ExtensionJson {
    extension: String,
    #[schema(format = DateTime)]
    first_report: String,
    agent: Option<String>,
    name: Option<String>,
}

/// A list of extensions.
#[derive(Serialize, ToSchema)]
struct ExtensionList {
    extensions: Vec<ExtensionJson>,
}

/// The sites of the principal that have reported anything.
#[utoipa::path(
    get,
    path = "/api/v1/sites",
    operation_id = "list_sites",
    tag = "Phones",
    responses((status = 200, description = "The names of the sites.", body = SiteNames)),
)]
pub(super) async fn sites(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.query.sites().await {
        Ok(mut sites) => {
            sites.retain(|site| principal.sites.contains(site));
            document_response(StatusCode::OK, &SiteNames { sites })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Phones that have reported at a site.
///
/// Without `site` those of the site `default`.
#[utoipa::path(
    get,
    path = "/api/v1/devices",
    operation_id = "list_devices",
    tag = "Phones",
    params(SiteListParameters),
    responses((status = 200, description = "The phones.", body = DeviceList)),
)]
pub(super) async fn devices(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
) -> Response {
    let list = match SiteList::requested(&principal, parameters) {
        Ok(list) => list,
        Err(response) => return *response,
    };

    // Never from the cache: phones report, and change their modes, all the time.
    let devices = match gateway.query.devices(&list.site).await {
        Ok(devices) => devices,
        Err(error) => return unavailable_response(&error),
    };
    let list_json = DeviceList {
        devices: devices
            .into_iter()
            .take(list.length())
            .map(|device| Device {
                mac: device.device,
                last_seen: instant::text(At(device.last_seen)),
                extension: device.extension,
                model: device.model.as_deref().map(ToOwned::to_owned),
                firmware: device.firmware.as_deref().map(ToOwned::to_owned),
                dnd_since: device.dnd_since.map(|since| instant::text(At(since))),
            })
            .collect(),
    };
    // Other programs read the whole list in Redis.
    if let (Some(directory), None) = (&gateway.directory, list.limit) {
        let key = CacheKey::Devices { site: &list.site };
        let text = serde_json::to_string(&list_json).unwrap_or_default();
        directory.cache(key, &text).await;
    }

    document_response(StatusCode::OK, &list_json)
}

/// Extensions that have reported at a site.
///
/// Without `site` those of the site `default`.
#[utoipa::path(
    get,
    path = "/api/v1/extensions",
    operation_id = "list_extensions",
    tag = "Phones",
    params(SiteListParameters),
    responses((status = 200, description = "The extensions.", body = ExtensionList)),
)]
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
        let extensions = extensions
            .into_iter()
            .take(list.length())
            .map(extension_json)
            .collect();
        Ok(ExtensionList { extensions })
    };
    let key = CacheKey::Extensions { site: &list.site };
    list.respond(&gateway, key, load).await
}

/// One extension.
///
/// Without `site` that of the site `default`.
#[utoipa::path(
    get,
    path = "/api/v1/extensions/{extension}",
    operation_id = "get_extension",
    tag = "Phones",
    params(
        ("extension" = inline(Segment), Path, description = "The number of the extension."),
        SiteParameters,
    ),
    responses(
        (status = 200, description = "The extension.", body = ExtensionJson),
        (status = 404, description = "`not_found`: there is no such extension."),
    ),
)]
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
    let site = match one_site_of(&principal, requested) {
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
            .into_iter()
            .find(|candidate| candidate.extension == extension)
            .map(extension_json))
    })
    .await
}

fn extension_json(extension: ReportedExtension) -> ExtensionJson {
    ExtensionJson {
        extension: extension.extension,
        first_report: instant::text(At(extension.first_report)),
        agent: extension.agent,
        name: extension.name.as_deref().map(ToOwned::to_owned),
    }
}

/// Responds from the cache, or from `load` and writes its value to the cache. A missing value is
/// not cached, because it may be stored at any moment.
async fn read_through_cache<T: Serialize>(
    gateway: &Gateway,
    key: CacheKey<'_>,
    load: impl Future<Output = Result<Option<T>, LedgerError>>,
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
            let text = serde_json::to_string(&value).unwrap_or_default();
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
