//! The documents of the desk.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::callers::Caller;
use crate::access::{Principal, mask_numbers_in, mask_record};
use crate::domain::call_back::CallBackCause;
use crate::domain::text::PrivateText;
use crate::domain::time::Span;
use crate::gateway::sites::{RuleBook, Rules};
use crate::port::desk::LaterCall;
use crate::wire::call_json::seconds;
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

const CAUSES: [CallBackCause; 2] = [CallBackCause::Missed, CallBackCause::TransferFailed];
const STATUSES: [&str; 3] = ["open", "assigned", "done"];
pub(super) const DISPOSITIONS: [&str; 4] = ["reached", "not_needed", "unreachable", "wrong_number"];

schemas! {
    DeskCause = one_of(&CAUSES.map(CallBackCause::name)), "The reason why a caller waits.";
    DeskState = one_of(&STATUSES), "The work on a missed call.";
    Disposition = one_of(&DISPOSITIONS), "The result of the work on a missed call.";
}

/// A call in which the caller was reached.
#[derive(Serialize, ToSchema)]
#[schema(as = LaterCall)]
struct LaterJson {
    #[schema(format = "uuid")]
    call_id: String,
    /// The extension that spoke, or speaks, with the caller.
    extension: Option<String>,
    #[schema(format = DateTime)]
    started_at: String,
}

/// The caller of a missed call.
#[derive(Serialize, ToSchema)]
struct MissedCaller {
    number: Option<String>,
    e164: Option<String>,
    name: Option<String>,
}

/// The missed calls of one number. All fields but the first three are those of the latest call.
#[derive(Serialize, ToSchema)]
pub(super) struct MissedEntry {
    #[schema(format = "uuid")]
    call_id: String,
    /// All calls of the entry, the latest first.
    call_ids: Vec<String>,
    /// Their number.
    calls: usize,
    site: String,
    from: MissedCaller,
    /// Why the caller waits.
    #[schema(value_type = DeskCause)]
    cause: String,
    /// The extensions that rang in vain.
    #[schema(value_type = Vec<String>)]
    missed_extensions: Value,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    missed_at: String,
    #[schema(format = DateTime)]
    first_missed_at: String,
    /// The instant until which the caller is to be called back, by the rules of the site.
    #[schema(format = DateTime)]
    due_at: String,
    /// Whether the site was closed when the latest call was missed.
    off_hours: bool,
    /// Unknown after a transfer that failed.
    waited_seconds: Option<f64>,
    #[schema(value_type = DeskState)]
    status: &'static str,
    /// The name of an account.
    assigned_to: Option<String>,
    note: Option<String>,
    #[schema(value_type = Option<Disposition>)]
    disposition: Option<String>,
    #[schema(format = DateTime)]
    changed_at: Option<String>,
    changed_by: Option<String>,
    /// The first answered call with the number after it was missed.
    reached_by: Option<LaterJson>,
    /// A call with the number that goes on.
    being_called_by: Option<LaterJson>,
}

/// The missed calls of a caller, with all numbers.
pub(super) fn entry_json(caller: &Caller, rules: &Rules) -> Value {
    let (entry, work) = (&caller.latest, caller.work());
    let extensions: Value = serde_json::from_str(&entry.extensions).unwrap_or_default();
    let own = |text: &Option<PrivateText>| text.as_deref().map(ToOwned::to_owned);

    let entry = MissedEntry {
        call_id: entry.call_id.clone(),
        call_ids: caller.call_ids.clone(),
        calls: caller.call_ids.len(),
        site: entry.site.clone(),
        from: MissedCaller {
            number: own(&entry.number),
            e164: own(&entry.e164),
            name: own(&entry.name),
        },
        cause: entry.cause.clone(),
        missed_extensions: extensions,
        started_at: instant::text(entry.started_at),
        missed_at: instant::text(entry.missed_at),
        first_missed_at: instant::text(caller.first_missed_at),
        due_at: instant::text(rules.desk_goal(caller.first_missed_at)),
        off_hours: !rules.hours.is_open(entry.missed_at),
        waited_seconds: entry.waited_us.map(|waited| seconds(Span(waited))),
        status: caller.status().name(),
        assigned_to: work.assigned_to.clone(),
        note: own(&work.note),
        disposition: work.disposition.clone(),
        changed_at: work.changed_at.map(instant::text),
        changed_by: work.changed_by.clone(),
        reached_by: entry.reached.as_ref().map(later_json),
        being_called_by: entry.calling.as_ref().map(later_json),
    };
    // Texts, numbers and lists of them always serialize.
    serde_json::to_value(entry).unwrap_or_default()
}

/// The missed calls of a caller, as the principal sees them.
pub(super) fn caller_json(principal: &Principal, caller: &Caller, rules: &RuleBook) -> Value {
    let mut document = entry_json(caller, rules.of(&caller.latest.site));
    if !principal.sees_all_numbers() && !rang_at(principal, &document) {
        mask_record(&mut document);
        // People write numbers into both.
        for field in ["note", "assigned_to"] {
            if let Some(text) = document[field].as_str() {
                document[field] = mask_numbers_in(text).into();
            }
        }
    }

    document
}

fn later_json(call: &LaterCall) -> LaterJson {
    LaterJson {
        call_id: call.call_id.clone(),
        extension: call.extension.clone(),
        started_at: instant::text(call.started_at),
    }
}

/// Whether the phone of the principal rang in vain.
fn rang_at(principal: &Principal, document: &Value) -> bool {
    let Some(own) = &principal.extension else {
        return false;
    };
    // The same extension at another site is another phone.
    if document["site"].as_str() != principal.own_site() {
        return false;
    }

    document["missed_extensions"]
        .as_array()
        .is_some_and(|extensions| {
            extensions
                .iter()
                .any(|extension| extension.as_str() == Some(own.as_str()))
        })
}
