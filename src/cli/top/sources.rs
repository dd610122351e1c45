//! The sources of the view: live calls and the desk over the API, figures of the process over its
//! operations listener.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::chain::Chain;
use crate::domain::time::At;
use crate::ops::{Api, ApiError};
use crate::wire::instant;

const FIGURES_EVERY: Duration = Duration::from_secs(2);
const RECONNECT_AFTER: Duration = Duration::from_secs(2);
/// Entries of the desk that are read.
const WAITING_READ: u32 = 200;

pub(super) struct Sources {
    pub api: Api,
    pub operations: Api,
    /// `None` for all sites.
    pub site: Option<String>,
}

/// News of the sources.
pub(super) enum News {
    /// All calls are being read; changes from now on are newer.
    Reading,
    Calls(Value),
    /// A change of a call.
    Event {
        name: String,
        data: Value,
    },
    /// The stream broke off.
    Lost(String),
    Desk(Desk),
    Metrics(Metrics),
}

/// The desk at an instant of the service's clock.
pub(super) struct Desk {
    pub read_at: At,
    pub waiting: usize,
    pub overdue: usize,
    /// There may be more.
    pub is_cut: bool,
}

/// Figures of the process; `None` where it has none of the kind, or does not show them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    pub accepted: Option<f64>,
    pub lag_seconds: Option<f64>,
    pub journal_depth: Option<f64>,
    pub dead_letters: Option<f64>,
}

impl Sources {
    /// The calls that go on.
    pub(super) async fn read_calls(&self) -> Result<Value, ApiError> {
        let query = self.of_site();

        Ok(self.api.get("calls/live", &query).await?["calls"].take())
    }

    fn of_site(&self) -> Vec<(&'static str, String)> {
        let site = self.site.iter();

        site.map(|site| ("site", site.clone())).collect()
    }

    /// News from now on.
    pub(super) fn follow(self) -> mpsc::UnboundedReceiver<News> {
        let (sender, news) = mpsc::unbounded_channel();
        let sources = Arc::new(self);

        tokio::spawn(Arc::clone(&sources).follow_calls(sender.clone()));
        tokio::spawn(sources.read_figures(sender));
        news
    }

    async fn follow_calls(self: Arc<Self>, sender: mpsc::UnboundedSender<News>) {
        loop {
            let ended = self.api.follow(|name, data| {
                if matches!(name, "hello" | "resync") {
                    // The receiver ends with the command.
                    let _ = sender.send(News::Reading);
                    tokio::spawn(Arc::clone(&self).tell_calls(sender.clone()));
                } else if name.starts_with("call.") && self.concerns(data) {
                    let _ = sender.send(News::Event {
                        name: name.to_owned(),
                        data: data.clone(),
                    });
                }
                Ok::<(), ApiError>(())
            });
            let ended = ended.await;

            if let Err(error) = ended {
                let _ = sender.send(News::Lost(Chain(&error).to_string()));
            }
            sleep(RECONNECT_AFTER).await;
        }
    }

    /// Whether a change is one of the site. A call that was none has its site beside it.
    fn concerns(&self, data: &Value) -> bool {
        let site = data["call"]["site"].as_str().or(data["site"].as_str());

        self.site.is_none() || self.site.as_deref() == site
    }

    async fn tell_calls(self: Arc<Self>, sender: mpsc::UnboundedSender<News>) {
        let news = match self.read_calls().await {
            Ok(calls) => News::Calls(calls),
            Err(error) => News::Lost(Chain(&error).to_string()),
        };

        let _ = sender.send(news);
    }

    async fn read_figures(self: Arc<Self>, sender: mpsc::UnboundedSender<News>) {
        let mut rounds = interval(FIGURES_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

        while !sender.is_closed() {
            rounds.tick().await;
            let mut query = self.of_site();
            query.push(("limit", WAITING_READ.to_string()));
            if let Ok(answer) = self.api.get("missed", &query).await
                && let Some(desk) = Desk::of(&answer)
            {
                let _ = sender.send(News::Desk(desk));
            }
            let metrics = match self.operations.metrics().await {
                Ok(text) => Metrics::of(&text),
                Err(_) => Metrics::default(),
            };
            let _ = sender.send(News::Metrics(metrics));
        }
    }
}

impl Desk {
    fn of(answer: &Value) -> Option<Desk> {
        let read_at = instant::parse(answer["read_at"].as_str()?).ok()?;
        let entries = answer["missed"].as_array()?;
        let goal = answer["goal_minutes"].as_i64()?;
        let is_overdue = |entry: &&Value| {
            let since = entry["first_missed_at"].as_str();
            let since = since.and_then(|since| instant::parse(since).ok());
            since.is_some_and(|since| (read_at - since).0 >= goal * 60_000_000)
        };

        Some(Desk {
            read_at,
            waiting: entries.len(),
            overdue: entries.iter().filter(is_overdue).count(),
            is_cut: entries.len() >= WAITING_READ as usize,
        })
    }
}

impl Metrics {
    fn of(text: &str) -> Metrics {
        let sum = |name: &str| total(text, name);

        Metrics {
            accepted: sum("cordboard_ingress_accepted_total"),
            lag_seconds: largest(text, "cordboard_watermark_lag_seconds"),
            journal_depth: sum("cordboard_journal_depth_records"),
            dead_letters: sum("cordboard_dead_letters"),
        }
    }
}

/// The values of a metric with all of its labels.
fn values<'t>(text: &'t str, name: &str) -> impl Iterator<Item = f64> + use<'t> {
    let name = name.to_owned();

    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(&name)?;
        let value = rest.strip_prefix(' ').or_else(|| {
            let (_, value) = rest.strip_prefix('{')?.rsplit_once("} ")?;
            Some(value)
        });
        value?.trim().parse().ok()
    })
}

fn total(text: &str, name: &str) -> Option<f64> {
    values(text, name).reduce(|sum, value| sum + value)
}

fn largest(text: &str, name: &str) -> Option<f64> {
    values(text, name).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_whatever_their_labels() {
        let text = "# TYPE cordboard_watermark_lag_seconds gauge\n\
                    cordboard_watermark_lag_seconds{partition=\"0\"} 0.5\n\
                    cordboard_watermark_lag_seconds{partition=\"1\"} 2\n\
                    cordboard_ingress_accepted_total{site=\"a\",kind=\"b\"} 7\n\
                    cordboard_ingress_accepted_total{site=\"c\",kind=\"b\"} 8\n\
                    cordboard_journal_depth_records 3\n\
                    cordboard_journal_depth_records_max 9\n";
        let metrics = Metrics::of(text);

        assert_eq!(metrics.accepted, Some(15.0));
        assert_eq!(metrics.lag_seconds, Some(2.0));
        assert_eq!(metrics.journal_depth, Some(3.0));
        assert_eq!(metrics.dead_letters, None);
    }

    #[test]
    fn callers_beyond_the_goal_are_overdue() {
        let desk = Desk::of(&serde_json::json!({
            "read_at": "2026-01-01T10:00:00Z",
            "goal_minutes": 30,
            "missed": [
                { "first_missed_at": "2026-01-01T09:30:00Z" },
                { "first_missed_at": "2026-01-01T09:31:00Z" },
            ],
        }));
        let desk = desk.unwrap();

        assert_eq!((desk.waiting, desk.overdue, desk.is_cut), (2, 1, false));
    }
}
