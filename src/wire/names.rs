//! Names that fields of records and requests can have, and their schemas in the description of the
//! API.

use utoipa::openapi::{ObjectBuilder, Type};

pub const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "internal"];
pub const STATUSES: [&str; 7] = [
    "initiated",
    "ringing",
    "answered",
    "on_hold",
    "transferring",
    "completed",
    "failed",
];
pub const OUTCOMES: [&str; 4] = ["answered", "missed", "no_answer", "lost"];
const END_REASONS: [&str; 2] = ["hangup", "lost_hangup"];
const ROLES: [&str; 3] = ["caller", "callee", "transfer_target"];
const PARTICIPANT_OUTCOMES: [&str; 7] = [
    "ringing",
    "talking",
    "answered",
    "answered_elsewhere",
    "rejected",
    "missed",
    "unanswered",
];
/// The last one is that of links which people made.
const LINK_KINDS: [&str; 4] = ["transfer", "callback", "repeat", "by_hand"];
const JOIN_KINDS: [&str; 3] = ["transfer", "pickup", "rering"];
const TRANSFER_KINDS: [&str; 3] = ["blind", "attended", "semi_attended"];
const TRANSFER_STATES: [&str; 7] = [
    "initiated",
    "ringing",
    "answered",
    "completed",
    "cancelled",
    "failed",
    "abandoned",
];
const ORIGINS: [&str; 1] = ["click_to_call"];
const CONFIDENCES: [&str; 3] = ["high", "medium", "low"];

/// The schema of a text that is one of some names.
#[must_use]
pub fn one_of(names: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names.iter().copied()))
}

/// Declares types that are only schemas, each with its description.
macro_rules! schemas {
    ($($schema:ident = $object:expr, $description:literal;)+) => {$(
        #[doc = $description]
        pub enum $schema {}

        impl utoipa::PartialSchema for $schema {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $object.description(Some($description)).into()
            }
        }

        impl utoipa::ToSchema for $schema {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed(stringify!($schema))
            }
        }
    )+};
}
pub(crate) use schemas;

schemas! {
    Direction = one_of(&DIRECTIONS), "The direction of a call, as the site sees it.";
    Status = one_of(&STATUSES), "The state of a call. `failed`: only an end was ever reported.";
    Outcome = one_of(&OUTCOMES), "The result of a call. `missed`: an unanswered inbound or internal call; \
        `no_answer`: an unanswered outbound call; `lost`: only an end was ever reported.";
    EndReason = one_of(&END_REASONS), "The reason of an end. `lost_hangup`: no end was reported, and the \
        call was closed after its maximum duration.";
    ParticipantRole = one_of(&ROLES), "The role of a participant.";
    ParticipantOutcome = one_of(&PARTICIPANT_OUTCOMES), "The result of a call for one participant.";
    LinkKind = one_of(&LINK_KINDS), "The relation to another call.";
    JoinKind = one_of(&JOIN_KINDS), "The reason why a later leg belongs to the call.";
    TransferKind = one_of(&TRANSFER_KINDS), "The kind of a transfer.";
    TransferState = one_of(&TRANSFER_STATES), "The state of a transfer.";
    Origin = one_of(&ORIGINS), "The program that placed a call.";
    Confidence = one_of(&CONFIDENCES), "How certain a conclusion is, from the reports of the phones alone.";
}
