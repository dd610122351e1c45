//! The ports behind a gateway that has nothing: every read is empty, every change is refused.

use async_trait::async_trait;
use cordboard::access::{PasswordHash, SecretHash};
use cordboard::domain::fact::Site;
use cordboard::domain::time::{At, Span};
use cordboard::port::accounts::{Accounts, ApiToken, AuditEntry, SecretKind, User, UserSecret};
use cordboard::port::claims::{Claim, Claims};
use cordboard::port::clock::Clock;
use cordboard::port::contacts::{CallerNote, Contact, ContactPage, Contacts};
use cordboard::port::desk::{Desk, DeskChange, DeskEntry, DeskPage, DeskState, SiteChange};
use cordboard::port::directory::{Directory, Entry, Helpline, Pause, Person};
use cordboard::port::ledger::{FactHistory, HistoryLimit, LedgerError};
use cordboard::port::links::{LinkChange, Links};
use cordboard::port::query::{
    CallFilter, HourStats, OperationCounts, Query, ReportedDevice, ReportedExtension,
    SilentExtension, StoredCall,
};
use cordboard::port::repeats::{Begun, KeptAnswer, RepeatableRequest, Repeats};
use cordboard::port::site_rules::{SiteRules, StoredRules};
use cordboard::port::states::{
    CallPlace, CallState, Joined, OutdatedState, OutdatedStates, Registered, Registration,
    StateChange, StateLedger, StateName,
};
use cordboard::port::transfers::{RegisteredTransfer, Transfers};
use cordboard::port::webhooks::{
    Delivery, DeliveryState, Hold, NewMessage, PlacedNotification, SendError, Sender, Waiting,
    Webhook, Webhooks,
};
use cordboard::port::windows::{LastWindow, Line, Windows};

pub struct Nothing;

#[async_trait]
impl Query for Nothing {
    async fn calls(&self, _: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        Ok(Vec::new())
    }

    async fn call(&self, _: &str) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn stats(&self, _: Option<&str>, _: i64, _: i64) -> Result<Vec<HourStats>, LedgerError> {
        Ok(Vec::new())
    }

    async fn sites(&self) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }

    async fn devices(&self, _: &str) -> Result<Vec<ReportedDevice>, LedgerError> {
        Ok(Vec::new())
    }

    async fn do_not_disturb(&self, _: Option<&str>) -> Result<Vec<SilentExtension>, LedgerError> {
        Ok(Vec::new())
    }

    async fn extensions(&self, _: &str) -> Result<Vec<ReportedExtension>, LedgerError> {
        Ok(Vec::new())
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        Ok(OperationCounts::default())
    }
}

#[async_trait]
impl StateLedger for Nothing {
    async fn register(&self, state: &CallState) -> Result<Registration, LedgerError> {
        Ok(Registration {
            state: state.clone(),
            session_before: None,
            is_stored: true,
        })
    }

    async fn update(&self, _: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError> {
        Ok(None)
    }

    async fn by_id(&self, _: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(None)
    }

    async fn places(&self, _: &[String]) -> Result<Vec<CallPlace>, LedgerError> {
        Ok(Vec::new())
    }

    async fn by_session(&self, _: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(None)
    }

    async fn active(&self, _: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn ended_since(&self, _: At, _: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn close_older(&self, _: At, _: At) -> Result<Vec<CallState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn unregister(&self, _: Registered<'_>) -> Result<Vec<Joined>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl OutdatedStates for Nothing {
    async fn note_outdated(&self, _: &StateName) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn outdated(&self, _: u32) -> Result<Vec<OutdatedState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn forget_outdated(&self, _: &OutdatedState) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Desk for Nothing {
    async fn entries(&self, _: &DeskPage) -> Result<Vec<DeskEntry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn verify_reached(&self, _: At) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn states(&self, _: &[String]) -> Result<Vec<DeskState>, LedgerError> {
        Ok(Vec::new())
    }

    async fn changes(&self, _: At, _: u32) -> Result<Vec<SiteChange>, LedgerError> {
        Ok(Vec::new())
    }

    async fn change(&self, _: &DeskChange) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[async_trait]
impl Directory for Nothing {
    async fn people(&self, _: Option<&str>) -> Result<Vec<Person>, LedgerError> {
        Ok(Vec::new())
    }

    async fn helplines(&self, _: Option<&str>) -> Result<Vec<Helpline>, LedgerError> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &[Entry]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_person(&self, _: &str, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_helpline(&self, _: &str, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn pauses(&self, _: Option<&str>) -> Result<Vec<Pause>, LedgerError> {
        Ok(Vec::new())
    }

    async fn pause(&self, _: &Pause) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn end_pause(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Contacts for Nothing {
    async fn contacts_of(&self, _: &str, _: &str) -> Result<Vec<Contact>, LedgerError> {
        Ok(Vec::new())
    }

    async fn contacts_of_all(&self, _: &[(String, String)]) -> Result<Vec<Contact>, LedgerError> {
        Ok(Vec::new())
    }

    async fn contacts(&self, _: &ContactPage) -> Result<Vec<Contact>, LedgerError> {
        Ok(Vec::new())
    }

    async fn put_contacts(&self, _: &[Contact], _: Option<&str>) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn remove_contacts(&self, _: &str, _: &str, _: Option<&str>) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn note_of(&self, _: &str, _: &str) -> Result<Option<CallerNote>, LedgerError> {
        Ok(None)
    }

    async fn set_note(&self, _: &str, _: &str, _: Option<&CallerNote>) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Repeats for Nothing {
    async fn begin(
        &self,
        _: &RepeatableRequest,
        _: At,
        _: At,
        _: At,
    ) -> Result<Begun, LedgerError> {
        Ok(Begun::New)
    }

    async fn renew(&self, _: &RepeatableRequest, _: At, _: At) -> Result<bool, LedgerError> {
        Ok(true)
    }

    async fn keep_answer(
        &self,
        _: &RepeatableRequest,
        _: At,
        _: &KeptAnswer,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn forget(&self, _: &RepeatableRequest, _: At) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Links for Nothing {
    async fn link_changes(&self, _: &str) -> Result<Vec<LinkChange>, LedgerError> {
        Ok(Vec::new())
    }

    async fn change_link(&self, _: &LinkChange) -> Result<bool, LedgerError> {
        Ok(true)
    }
}

#[async_trait]
impl SiteRules for Nothing {
    async fn rules(&self) -> Result<Vec<StoredRules>, LedgerError> {
        Ok(Vec::new())
    }

    async fn set_rules(&self, _: &StoredRules) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_rules(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(true)
    }
}

#[async_trait]
impl Windows for Nothing {
    async fn keep_windows(&self, _: &str, _: &[Line], _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn last_windows(&self, _: Option<&str>, _: At) -> Result<Vec<LastWindow>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Claims for Nothing {
    async fn claim(&self, _: &Claim, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn claims(&self, _: At) -> Result<Vec<Claim>, LedgerError> {
        Ok(Vec::new())
    }

    async fn claim_of(&self, _: &str, _: At) -> Result<Option<Claim>, LedgerError> {
        Ok(None)
    }
}

#[async_trait]
impl FactHistory for Nothing {
    async fn fact_messages(
        &self,
        _: &Site,
        _: At,
        _: At,
        _: HistoryLimit,
    ) -> Result<Option<Vec<Vec<u8>>>, LedgerError> {
        Ok(Some(Vec::new()))
    }
}

#[async_trait]
impl Accounts for Nothing {
    async fn has_accounts(&self) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn user(&self, _: &str) -> Result<Option<User>, LedgerError> {
        Ok(None)
    }

    async fn users(&self) -> Result<Vec<User>, LedgerError> {
        Ok(Vec::new())
    }

    async fn add_user(&self, _: &User) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn update_user(&self, _: &User, _: &User) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn add_session(
        &self,
        _: &UserSecret,
        _: Option<&PasswordHash>,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn reset_user(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn set_password(
        &self,
        _: &str,
        _: &PasswordHash,
        _: Option<&PasswordHash>,
        _: &SecretHash,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_user(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn add_secret(&self, _: &UserSecret) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn secret(
        &self,
        _: &SecretHash,
        _: SecretKind,
    ) -> Result<Option<(UserSecret, User)>, LedgerError> {
        Ok(None)
    }

    async fn touch_secret(&self, _: &SecretHash, _: At, _: Option<At>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_secret(&self, _: &SecretHash) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn remove_expired(&self, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_secrets(&self, _: &str, _: Option<&SecretHash>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn add_token(&self, _: &ApiToken) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn token(&self, _: &SecretHash) -> Result<Option<ApiToken>, LedgerError> {
        Ok(None)
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, LedgerError> {
        Ok(Vec::new())
    }

    async fn revoke_token(&self, _: &str, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn record(&self, _: &AuditEntry) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn audit_entries(&self, _: u32) -> Result<Vec<AuditEntry>, LedgerError> {
        Ok(Vec::new())
    }
}

impl Clock for Nothing {
    fn now(&self) -> At {
        At(1_800_000_000_000_000)
    }

    fn steady(&self) -> Span {
        Span(0)
    }
}

#[async_trait]
impl Transfers for Nothing {
    async fn begin(&self, _: &RegisteredTransfer) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn transfer(&self, _: &str) -> Result<Option<RegisteredTransfer>, LedgerError> {
        Ok(None)
    }

    async fn transfer_of_call(&self, _: &str) -> Result<Option<RegisteredTransfer>, LedgerError> {
        Ok(None)
    }

    async fn transfers_under_way(&self, _: u32) -> Result<Vec<RegisteredTransfer>, LedgerError> {
        Ok(Vec::new())
    }

    async fn decide(&self, _: &str, _: &str, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn forget_transfers(&self, _: At) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[async_trait]
impl Webhooks for Nothing {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        Ok(Vec::new())
    }

    async fn webhook(&self, _: &str) -> Result<Option<Webhook>, LedgerError> {
        Ok(None)
    }

    async fn add_webhook(&self, _: &Webhook, _: u32, _: u32) -> Result<bool, LedgerError> {
        Ok(true)
    }

    async fn update_webhook(&self, _: &Webhook) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn end_webhook(&self, _: &Webhook, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_webhook(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn skip_notifications(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn unsent_notifications(&self, _: u32) -> Result<Vec<PlacedNotification>, LedgerError> {
        Ok(Vec::new())
    }

    async fn add_messages(&self, _: &[NewMessage]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn advance(&self, _: &PlacedNotification) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn fail_waiting(&self, _: &Webhook, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn rest_webhook(&self, _: &Webhook, _: Span) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn wake_webhook(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn hold_making(&self, _: &str, _: Span, _: u32) -> Result<Option<At>, LedgerError> {
        Ok(None)
    }

    async fn release_making(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn hold_webhook(&self, _: &str, _: &str, _: At, _: Span) -> Result<Hold, LedgerError> {
        Ok(Hold::NothingDue)
    }

    async fn release_webhook(&self, _: &str, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn due_deliveries(&self, _: &str, _: At, _: u32) -> Result<Vec<Delivery>, LedgerError> {
        Ok(Vec::new())
    }

    async fn finish_delivery(&self, _: &Delivery) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn deliveries(
        &self,
        _: &str,
        _: Option<DeliveryState>,
        _: u32,
    ) -> Result<Vec<Delivery>, LedgerError> {
        Ok(Vec::new())
    }

    async fn count_waiting(&self, _: &str, _: Waiting, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }

    async fn delivery(&self, _: &str, _: &str) -> Result<Option<Delivery>, LedgerError> {
        Ok(None)
    }

    async fn repeat_delivery(&self, _: &str, _: &str, _: At) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn forget_deliveries(&self, _: At, _: At) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[async_trait]
impl Sender for Nothing {
    fn check(&self, _: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn post(
        &self,
        _: &str,
        _: &[(&'static str, String)],
        _: String,
    ) -> Result<u16, SendError> {
        Ok(204)
    }
}
