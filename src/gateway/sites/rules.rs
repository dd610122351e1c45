//! The rules of a site, as people write them and as they are in force.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hours::{DAY_MINUTES, Opening, OpeningHours};
use crate::domain::time::{At, Span};
use crate::port::error::LedgerError;
use crate::port::site_rules::{SiteRules, StoredRules};
use crate::wire::names::{one_of, schemas};

const HOUR_SECONDS: u32 = 3_600;
const WEEK_MINUTES: u32 = 7 * 1_440;
const OPENINGS_MAX: usize = 50;
const ZONE_CHARS_MAX: usize = 64;
/// The schemas repeat the limits, because their attributes take literals only.
const _: () = assert!(
    HOUR_SECONDS == 3_600 && WEEK_MINUTES == 10_080 && OPENINGS_MAX == 50 && ZONE_CHARS_MAX == 64
);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

schemas! {
    Day = one_of(&DAYS), "A day of the week.";
}

/// The times within which callers of a site are to be answered and called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goals {
    pub answer_seconds: u32,
    pub desk_minutes: u32,
    pub escalation_minutes: u32,
}

/// Times of some days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningDocument {
    #[schema(value_type = Vec<Day>, min_items = 1, max_items = 7)]
    days: Vec<String>,
    /// A time of the day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// A time of the day, or 24:00. Before `from`, it is one of the next day.
    #[schema(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
    to: String,
}

/// The rules of a site. Without a goal, that of the settings of the service is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SiteRules)]
pub(super) struct RulesDocument {
    /// Seconds within which a call is to be answered.
    #[schema(minimum = 1, maximum = 3600)]
    pub answer_goal_seconds: Option<u32>,
    /// Minutes within which a missed caller is to be called back.
    #[schema(minimum = 1, maximum = 10080)]
    pub desk_goal_minutes: Option<u32>,
    /// Minutes after which webhooks hear of a caller who still waits.
    #[schema(minimum = 1, maximum = 10080)]
    pub desk_escalation_minutes: Option<u32>,
    /// The time zone of the hours, as `Europe/Berlin`.
    #[schema(max_length = 64)]
    pub time_zone: Option<String>,
    /// The opening hours. While the site is closed, no time for a call back passes. None are always.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub hours: Vec<OpeningDocument>,
}

impl RulesDocument {
    pub(super) const FIELDS: &str = "`answer_goal_seconds`, `desk_goal_minutes`, \
        `desk_escalation_minutes`, `time_zone` and `hours`, each of them optional";

    /// The rules of a stored document; none of one that cannot be read.
    pub(super) fn stored(text: &str) -> RulesDocument {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The rules in force.
    ///
    /// # Errors
    /// The mistake, for the person who wrote the document.
    pub(super) fn rules(&self, defaults: Goals) -> Result<Rules, String> {
        let goal = |name: &str, value: Option<u32>, default: u32, max: u32| match value {
            None => Ok(default),
            Some(value) if (1..=max).contains(&value) => Ok(value),
            Some(_) => Err(format!("`{name}` must be from 1 to {max}")),
        };
        let goals = Goals {
            answer_seconds: goal(
                "answer_goal_seconds",
                self.answer_goal_seconds,
                defaults.answer_seconds,
                HOUR_SECONDS,
            )?,
            desk_minutes: goal(
                "desk_goal_minutes",
                self.desk_goal_minutes,
                defaults.desk_minutes,
                WEEK_MINUTES,
            )?,
            escalation_minutes: goal(
                "desk_escalation_minutes",
                self.desk_escalation_minutes,
                defaults.escalation_minutes,
                WEEK_MINUTES,
            )?,
        };

        Ok(Rules {
            goals,
            hours: self.opening_hours()?,
        })
    }

    fn opening_hours(&self) -> Result<OpeningHours, String> {
        let zone = match &self.time_zone {
            None if self.hours.is_empty() => TimeZone::UTC,
            None => return Err("`hours` need a `time_zone`".to_owned()),
            Some(name) => Some(name)
                .filter(|name| name.len() <= ZONE_CHARS_MAX)
                .and_then(|name| TimeZone::get(name).ok())
                .ok_or("`time_zone` must be the name of one, as Europe/Berlin")?,
        };
        if self.hours.len() > OPENINGS_MAX {
            return Err(format!("`hours` must have at most {OPENINGS_MAX} entries"));
        }

        let openings = self.hours.iter().map(OpeningDocument::opening);
        Ok(OpeningHours::new(zone, openings.collect::<Result<_, _>>()?))
    }
}

impl OpeningDocument {
    fn opening(&self) -> Result<Opening, String> {
        let mut days = [false; 7];
        for day in &self.days {
            let index = DAYS.iter().position(|own| own == day);
            let index = index.ok_or_else(|| format!("`days` must be of {}", DAYS.join(", ")))?;
            days[index] = true;
        }
        if self.days.is_empty() {
            return Err("`days` must name a day".to_owned());
        }

        let from = minute_of(&self.from).filter(|minute| *minute < DAY_MINUTES);
        let (Some(from), Some(to)) = (from, minute_of(&self.to)) else {
            return Err("`from` and `to` must be times of the day, as 08:00".to_owned());
        };
        if from == to {
            return Err("`from` and `to` must differ; a whole day is 00:00 to 24:00".to_owned());
        }

        Ok(Opening { days, from, to })
    }
}

/// The minute of the day of a text such as `08:00`.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let total = hour * 60 + minute;

    (minute < 60 && total <= DAY_MINUTES).then_some(total)
}

/// Rules in force.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Rules {
    pub goals: Goals,
    pub hours: OpeningHours,
}

impl Rules {
    fn of_defaults(goals: Goals) -> Rules {
        Rules {
            goals,
            hours: OpeningHours::always(),
        }
    }

    /// The instant until which a caller is to be called back.
    pub(in crate::gateway) fn desk_goal(&self, missed_at: At) -> At {
        self.hours
            .after(missed_at, minutes(self.goals.desk_minutes))
    }

    /// The instant at which webhooks hear of a caller who waits.
    pub(in crate::gateway) fn escalation(&self, missed_at: At) -> At {
        self.hours
            .after(missed_at, minutes(self.goals.escalation_minutes))
    }
}

fn minutes(minutes: u32) -> Span {
    Span::seconds(i64::from(minutes) * 60)
}

/// The sites, with the rules that people set.
#[derive(Clone)]
pub struct Sites {
    pub(super) stored: Arc<dyn SiteRules>,
    pub(super) defaults: Goals,
}

impl Sites {
    #[must_use]
    pub fn new(stored: Arc<dyn SiteRules>, defaults: Goals) -> Sites {
        Sites { stored, defaults }
    }

    /// The rules of all sites.
    pub(in crate::gateway) async fn rules(&self) -> Result<RuleBook, LedgerError> {
        Ok(self.book(&self.stored.rules().await?))
    }

    /// The rules that stored ones put in force.
    pub(super) fn book(&self, stored: &[StoredRules]) -> RuleBook {
        let of_sites = stored.iter().filter_map(|stored| {
            let rules = RulesDocument::stored(&stored.rules).rules(self.defaults);
            // A name of a time zone may be unknown on this machine.
            if let Err(error) = &rules {
                tracing::warn!(
                    site = stored.site,
                    error,
                    "the rules of a site do not count"
                );
            }
            Some((stored.site.clone(), rules.ok()?))
        });

        RuleBook {
            of_sites: of_sites.collect(),
            defaults: Rules::of_defaults(self.defaults),
        }
    }
}

/// The rules in force, by site.
pub(in crate::gateway) struct RuleBook {
    of_sites: HashMap<String, Rules>,
    defaults: Rules,
}

impl RuleBook {
    pub(in crate::gateway) fn of(&self, site: &str) -> &Rules {
        self.of_sites.get(site).unwrap_or(&self.defaults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Goals = Goals {
        answer_seconds: 20,
        desk_minutes: 30,
        escalation_minutes: 60,
    };

    fn rules(text: &str) -> Result<Rules, String> {
        let document: RulesDocument = serde_json::from_str(text).map_err(|e| e.to_string())?;

        document.rules(DEFAULTS)
    }

    #[test]
    fn goals_that_are_not_set_are_those_of_the_settings() {
        let rules = rules(r#"{"desk_goal_minutes":5}"#).expect("rules");

        assert_eq!(
            rules.goals,
            Goals {
                desk_minutes: 5,
                ..DEFAULTS
            }
        );
        assert_eq!(rules.desk_goal(At(0)), At(300_000_000));
    }

    #[test]
    fn wrong_rules_are_refused_with_the_reason() {
        let day = r#""days":["mon"]"#;
        for (text, reason) in [
            (r#"{"desk_goal_minutes":0}"#.to_owned(), "from 1 to 10080"),
            (r#"{"goal":1}"#.to_owned(), "unknown field"),
            (
                format!(r#"{{"hours":[{{{day},"from":"08:00","to":"18:00"}}]}}"#),
                "need a `time_zone`",
            ),
            (
                r#"{"time_zone":"Mars/Olympus"}"#.to_owned(),
                "Europe/Berlin",
            ),
            (
                format!(r#"{{"time_zone":"UTC","hours":[{{{day},"from":"8:00","to":"18:00"}}]}}"#),
                "as 08:00",
            ),
            (
                format!(r#"{{"time_zone":"UTC","hours":[{{{day},"from":"24:00","to":"18:00"}}]}}"#),
                "as 08:00",
            ),
            (
                format!(r#"{{"time_zone":"UTC","hours":[{{{day},"from":"08:00","to":"08:00"}}]}}"#),
                "must differ",
            ),
            (
                r#"{"time_zone":"UTC","hours":[{"days":["day"],"from":"08:00","to":"18:00"}]}"#
                    .to_owned(),
                "of mon, tue",
            ),
        ] {
            let refused = rules(&text).err().unwrap_or_default();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
