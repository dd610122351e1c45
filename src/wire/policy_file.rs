//! The policy file: the rules of all sites, and of single ones, as TOML or JSON. Rules that the
//! file does not name have their defaults.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::domain::device::Extension;
use crate::domain::fact::Site;
use crate::domain::policy::Policy;
use crate::domain::region::Region;
use crate::domain::time::Span;

/// No delay of the policy is longer than this.
const DELAY_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// The reason why a policy file is invalid.
#[derive(Debug, thiserror::Error)]
pub enum BadPolicy {
    #[error("{0}")]
    Syntax(String),
    #[error("`{key}` must be between {min} and {max} milliseconds, not {value}")]
    OutOfRange {
        key: &'static str,
        min: u64,
        max: u64,
        value: u64,
    },
    #[error("`region` is no two-letter region such as \"FR\": {0:?}")]
    UnknownRegion(String),
    #[error("`site.{0}`: that is no site name (1 to 64 characters)")]
    BadSite(String),
    #[error("`site.{site}`: {wrong}")]
    OfSite { site: String, wrong: Box<BadPolicy> },
    #[error("`site` must hold a table for each site, such as [site.berlin]")]
    SitesWithoutNames,
    #[error("`{key}`: no phone reports {text:?}, which is read as {read:?}")]
    NeverReported {
        key: &'static str,
        text: String,
        read: String,
    },
    #[error("{path}: cannot be read: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {wrong}")]
    In {
        path: PathBuf,
        wrong: Box<BadPolicy>,
    },
}

/// The rules of every site.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    default: Arc<Policy>,
    sites: HashMap<Site, Arc<Policy>>,
}

impl Policies {
    /// The rules of one site.
    #[must_use]
    pub fn of(&self, site: &Site) -> &Arc<Policy> {
        self.sites.get(site).unwrap_or(&self.default)
    }

    /// The longest spans of any site for which calls must be remembered: closed ones, as targets of
    /// links, and open ones.
    #[must_use]
    pub fn lookback(&self) -> (Span, Span) {
        let longest = |span: fn(&Policy) -> Span| {
            let all = self.sites.values().chain([&self.default]);
            all.map(|policy| span(policy)).max().unwrap_or(Span::ZERO)
        };

        (
            longest(|policy| policy.link_window),
            longest(|policy| policy.duration_max),
        )
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// [`BadPolicy`]: the file cannot be read, or one of its keys is wrong.
    pub fn read(path: &Path) -> Result<Policies, BadPolicy> {
        let text = fs::read_to_string(path).map_err(|source| BadPolicy::File {
            path: path.to_owned(),
            source,
        })?;

        Policies::parse(&text).map_err(|wrong| BadPolicy::In {
            path: path.to_owned(),
            wrong: Box::new(wrong),
        })
    }

    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// [`BadPolicy`], with the wrong key and its allowed values.
    pub fn parse(text: &str) -> Result<Policies, BadPolicy> {
        Policies::from_table(syntax(text)?)
    }

    /// Reads the rules from a table of another file.
    ///
    /// # Errors
    /// [`BadPolicy`], with the wrong key and its allowed values.
    pub fn from_table(mut file: Map<String, Value>) -> Result<Policies, BadPolicy> {
        let of_sites = file.remove("site");
        let default = rules(&Value::Object(file))?.over(&Policy::default())?;

        let mut sites = HashMap::new();
        let of_sites = match of_sites {
            None => Map::new(),
            Some(Value::Object(tables)) => tables,
            Some(_) => return Err(BadPolicy::SitesWithoutNames),
        };
        for (name, own) in &of_sites {
            let site = Site::parse(name)
                .ok_or_else(|| BadPolicy::BadSite(name.chars().take(40).collect()))?;
            let own = rules(own).and_then(|rules| rules.over(&default));
            let own = own.map_err(|wrong| BadPolicy::OfSite {
                site: site.as_str().to_owned(),
                wrong: Box::new(wrong),
            })?;
            sites.insert(site, Arc::new(own));
        }

        Ok(Policies {
            default: Arc::new(default),
            sites,
        })
    }
}

fn syntax(text: &str) -> Result<Map<String, Value>, BadPolicy> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| BadPolicy::Syntax(error.to_string()));
    }

    toml::from_str(text).map_err(|error| BadPolicy::Syntax(one_line(&error)))
}

fn rules(table: &Value) -> Result<Rules, BadPolicy> {
    serde_json::from_value(table.clone()).map_err(|error| {
        // The parser does not name the wrong value: it is the one that cannot be parsed alone.
        let alone = |key: &String, value: &Value| {
            serde_json::from_value::<Rules>(Value::Object(Map::from_iter([(
                key.clone(),
                value.clone(),
            )])))
        };
        let wrong = table
            .as_object()
            .into_iter()
            .flatten()
            .find_map(|(key, value)| Some((key, alone(key, value).err()?)));

        BadPolicy::Syntax(wrong.map_or_else(
            || error.to_string(),
            |(key, error)| format!("`{key}`: {error}"),
        ))
    })
}

/// The first and the last line of the parser's message, which has several: the position, and the
/// mistake there.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains('|'));

    lines.collect::<Vec<_>>().join(": ")
}

macro_rules! rules_of_a_site {
    ($($field:ident: $policy:ident, $min:expr;)*) => {
        /// The rules a file may name.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rules {
            region: Option<String>,
            pickup_codes: Option<Vec<String>>,
            extensions: Option<Vec<String>>,
            silent_extensions: Option<Vec<String>>,
            emergency_numbers: Option<Vec<String>>,
            $(#[serde(default, deserialize_with = "milliseconds")]
            $field: Option<u64>,)*
        }

        impl Rules {
            /// These rules over those of `base`: a rule that the file does not name is inherited.
            fn over(&self, base: &Policy) -> Result<Policy, BadPolicy> {
                let mut policy = base.clone();

                if let Some(region) = &self.region {
                    let known = Region::parse(region).ok_or_else(|| {
                        BadPolicy::UnknownRegion(region.chars().take(10).collect())
                    })?;
                    policy.region = Some(known);
                }
                replace(&mut policy.pickup_codes, "pickup_codes", self.pickup_codes.as_ref())?;
                replace(&mut policy.extensions, "extensions", self.extensions.as_ref())?;
                replace(&mut policy.silent_extensions, "silent_extensions", self.silent_extensions.as_ref())?;
                replace(&mut policy.emergency_numbers, "emergency_numbers", self.emergency_numbers.as_ref())?;
                $(if let Some(value) = self.$field {
                    policy.$policy = span(stringify!($field), value, $min)?;
                })*

                Ok(policy)
            }
        }
    };
}

rules_of_a_site! {
    missed_delay_ms: missed_delay, 0;
    rering_gap_ms: rering_gap, 0;
    resume_gap_ms: resume_gap, 0;
    ring_join_ms: ring_join, 0;
    transfer_window_ms: transfer_window, 0;
    link_window_ms: link_window, 0;
    together_ms: together, 0;
    reorder_ms: reorder, 0;
    duplicate_ms: duplicate, 0;
    claim_race_ms: claim_race, 0;
    overlap_ms: overlap, 1;
    drop_late_ms: drop_late, 1;
    pickup_evidence_ms: pickup_evidence, 0;
    announcement_max_ms: announcement_max, 0;
    park_window_ms: park_window, 0;
    ring_max_ms: ring_max, 1_000;
    duration_max_ms: duration_max, 1_000;
    doubt_after_ms: doubt_after, 1_000;
}

/// A number, or a number as text: environment variables are always text.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Value::String(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| D::Error::custom("expected a whole number of milliseconds")),
        Some(value) => u64::deserialize(value).map(Some).map_err(D::Error::custom),
    }
}

/// Replaces the numbers or patterns of a rule. Those that are read otherwise in a report would never
/// match one.
fn replace(
    slot: &mut Vec<String>,
    key: &'static str,
    texts: Option<&Vec<String>>,
) -> Result<(), BadPolicy> {
    let Some(texts) = texts else {
        return Ok(());
    };

    for text in texts {
        let read = Extension::parse(text).map_or_else(String::new, |read| read.to_string());
        // `X` in a pattern stands for a digit.
        if read.is_empty() || read != text.replace('X', "x") {
            let text = text.chars().take(40).collect();
            return Err(BadPolicy::NeverReported { key, text, read });
        }
    }

    slot.clone_from(texts);
    Ok(())
}

fn span(key: &'static str, value: u64, min: u64) -> Result<Span, BadPolicy> {
    let out_of_range = BadPolicy::OutOfRange {
        key,
        min,
        max: DELAY_MS_MAX,
        value,
    };
    if value < min || value > DELAY_MS_MAX {
        return Err(out_of_range);
    }

    i64::try_from(value)
        .map(Span::millis)
        .map_err(|_| out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Policies::parse(text)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_site_overrides_the_rules_of_all_sites() {
        let text = r#"
            region = "FR"
            missed_delay_ms = 8000
            [site.berlin]
            region = "DE"
            extensions = ["2XX"]
        "#;
        let policies = Policies::parse(text).unwrap_or_default();
        let berlin = Site::parse("berlin")
            .map(|site| policies.of(&site).clone())
            .unwrap_or_default();
        let other = policies.of(&Site::default());

        assert_eq!(
            (berlin.region, berlin.missed_delay),
            (Region::parse("DE"), Span::seconds(8))
        );
        assert_eq!(
            (other.region, other.extensions.len()),
            (Region::parse("FR"), 0)
        );
    }

    #[test]
    fn json_is_understood_too() {
        let policies =
            Policies::parse(r#"{"region": "FR", "site": {"a": {"ring_max_ms": 60000}}}"#)
                .unwrap_or_default();
        assert_eq!(policies.of(&Site::default()).region, Region::parse("FR"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            error("missed_dely_ms = 1").contains("missed_dely_ms"),
            "{}",
            error("missed_dely_ms = 1")
        );
        assert!(error("region = \"Europe\"").contains("Europe"));
        assert!(error("ring_max_ms = 5").contains("ring_max_ms"));
        assert!(
            error("ring_max_ms = \"long\"").contains("`ring_max_ms`: expected a whole number"),
            "{}",
            error("ring_max_ms = \"long\"")
        );
        assert!(error("[site.x]\nnope = 1").contains("nope"));
        assert!(error("[site.x]\nregion = \"XX\"").starts_with("`site.x`: `region`"));
        assert!(error("region = ").contains("line 1"));
        assert!(error("site = 5").contains("`site`"));
        for never in ["", "20-3", "Alice", "X*("] {
            let error = error(&format!("extensions = [{never:?}]"));
            assert!(error.contains("`extensions`"), "{never:?}: {error}");
        }
    }
}
