//! The page: files that the binary carries, served as they are. No build step makes them, and
//! nothing is loaded from elsewhere.
//!
//! - The policy of the page allows scripts and styles of this listener alone, and none inline.
//! - Browsers ask each time and get 304 while a file is the same, so that a new version of the
//!   program shows its own page at once.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::etag::{is_known, tag_of};
use super::response::unknown_path;

const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// One file of the page.
struct Asset {
    name: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        [$(Asset {
            name: $name,
            content: include_bytes!(concat!("page/", $name)),
        }),+]
    };
}

static INDEX: Asset = Asset {
    name: "index.html",
    content: include_bytes!("page/index.html"),
};

static ASSETS: [Asset; 59] = assets!(
    "agent-card.js",
    "agent-day.js",
    "agent.js",
    "api-page.js",
    "api.js",
    "app.css",
    "app.js",
    "call-panels.js",
    "call.js",
    "caller.js",
    "cells.js",
    "charts.js",
    "clock.js",
    "contact-names.js",
    "csv.js",
    "dom.js",
    "feed.js",
    "format.js",
    "forms.js",
    "icon.svg",
    "keys.js",
    "lanes.js",
    "live-figures.js",
    "live-people.js",
    "live-rows.js",
    "live.js",
    "missed-dialog.js",
    "missed-rows.js",
    "missed.js",
    "more.css",
    "phones.js",
    "programs.js",
    "router.js",
    "session.js",
    "settings-accounts.js",
    "settings-audit.js",
    "settings-contacts.js",
    "settings-directory.js",
    "settings-list.js",
    "settings-tokens.js",
    "settings-sites.js",
    "settings-webhooks.js",
    "settings.js",
    "shell.js",
    "sign-in.js",
    "sound.js",
    "statistics.js",
    "stats-data.js",
    "stats-desk.js",
    "stats-panels.js",
    "texts-api.js",
    "texts-desk.js",
    "texts-settings.js",
    "texts.js",
    "theme.js",
    "today-rows.js",
    "today.js",
    "why.js",
    "words.js",
);

static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(tag).collect());
static INDEX_TAG: LazyLock<String> = LazyLock::new(|| tag(&INDEX));

fn tag(asset: &Asset) -> String {
    tag_of(asset.content)
}

/// The document of every path of the page; its scripts show what the path names.
pub(super) async fn index(headers: HeaderMap) -> Response {
    respond(&INDEX, &INDEX_TAG, &headers)
}

/// A file of the page.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().position(|asset| asset.name == name) {
        Some(index) => respond(&ASSETS[index], &TAGS[index], &headers),
        None => unknown_path().await,
    }
}

fn respond(asset: &'static Asset, tag: &str, headers: &HeaderMap) -> Response {
    let is_known = is_known(headers, tag);
    let fixed = [
        (CONTENT_TYPE, content_type(asset.name)),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let tag = [(ETAG, tag.to_owned())];

    if is_known {
        (StatusCode::NOT_MODIFIED, fixed, tag).into_response()
    } else {
        (fixed, tag, asset.content).into_response()
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway/page");
        // Types and their settings are for the check of the scripts, not for browsers.
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name != INDEX.name && name != "tsconfig.json" && !name.ends_with(".d.ts")
            })
            .collect();
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();

        assert_eq!(served, files);
    }
}
