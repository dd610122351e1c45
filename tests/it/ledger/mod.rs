//! The conformance suite of the ledger port: laws that hold for every adapter.
//!
//! A law is written once, for any [`Store`]. `pure::ledger` applies all of them to SQLite, and
//! `servers::ledger` to PostgreSQL; an adapter of another kind joins with a store and a line.

pub mod accounts;
pub mod batches;
pub mod contacts;
pub mod desk;
pub mod links;
pub mod notifications;
pub mod owners;
pub mod pages;
pub mod repeats;
pub mod site_rules;
pub mod states;
pub mod webhooks;
pub mod windows;

use cordboard::port::accounts::Accounts;
use cordboard::port::contacts::Contacts;
use cordboard::port::dead_letters::DeadLetters;
use cordboard::port::desk::Desk;
use cordboard::port::ledger::{Ledger, RecordAudit};
use cordboard::port::links::Links;
use cordboard::port::outbox::NotificationLog;
use cordboard::port::query::{CallFilter, Query};
use cordboard::port::repeats::Repeats;
use cordboard::port::site_rules::SiteRules;
use cordboard::port::states::StateLedger;
use cordboard::port::webhooks::Webhooks;
use cordboard::port::windows::Windows;
use serde_json::Value;

/// A database for ledgers of one kind. Ledgers opened on it see the same rows, as two processes do.
pub trait Store: Sized {
    type Ledger: Ledger
        + Query
        + Contacts
        + Repeats
        + Desk
        + StateLedger
        + DeadLetters
        + RecordAudit
        + NotificationLog
        + Webhooks
        + Windows
        + Links
        + SiteRules
        + Accounts;

    /// A new database.
    async fn new() -> Self;

    async fn open(&self) -> Self::Ledger;

    /// The stored messages without a fact.
    async fn dead_messages(&self) -> Vec<Vec<u8>>;

    /// The rows beside the records of calls: participants, links, missed calls, statistics, and the
    /// states of calls that are not final.
    async fn rows(&self) -> Vec<String>;
}

/// Makes a test of each law for one kind of store.
macro_rules! conformance {
    ($store:ident) => {
        $crate::ledger::conformance! {
            $store
            accounts::a_change_under_way_brings_no_account_back
            accounts::no_session_outlives_the_password_that_began_it
            accounts::an_account_and_a_token_do_not_share_a_name
            accounts::no_secret_outlives_its_account
            batches::a_batch_written_twice_is_written_once
            batches::small_batches_leave_the_same_rows_as_one_large_batch
            batches::hours_of_statistics_begin_as_the_period_does
            batches::unknown_facts_are_those_that_are_not_stored
            batches::live_calls_pending_missed_calls_and_dead_letters_are_counted
            batches::a_withdrawn_call_leaves_nothing_behind_and_an_answered_one_is_no_longer_missed
            batches::a_message_without_a_fact_is_kept_once_as_it_came
            contacts::a_number_shows_its_contacts
            contacts::contacts_are_found_by_fragments_page_by_page
            contacts::contacts_are_removed_by_number_name_and_file
            contacts::of_two_files_at_once_one_stays
            contacts::a_caller_has_one_note
            desk::one_person_takes_all_calls_of_a_caller_or_none
            desk::a_person_who_has_taken_a_caller_has_his_next_call
            desk::what_another_person_has_changed_meanwhile_is_not_changed
            desk::notes_are_removed_and_results_are_those_of_done_entries
            desk::callers_who_hide_their_numbers_are_not_taken_for_each_other
            desk::callers_who_wait_are_found_among_all_who_were_reached
            desk::a_caller_whose_transfer_failed_waits_unless_he_spoke_with_a_phone_again
            desk::a_caller_waits_again_when_the_answered_call_turns_out_to_be_none
            links::the_last_change_of_a_link_counts_and_a_call_has_a_limited_number
            site_rules::the_last_rules_of_a_site_count_until_they_are_removed
            notifications::notifications_are_kept_for_absent_watchers_and_their_numbers_go_on
            owners::a_replaced_owner_writes_nothing_any_more
            owners::the_next_owner_recovers_the_facts_of_open_calls
            owners::time_ahead_of_the_clock_is_set_back_and_facts_stay
            owners::the_next_owner_recovers_closed_calls_that_later_ones_may_be_linked_to
            owners::promises_and_attempts_survive_their_owner
            pages::devices_and_extensions_can_be_looked_up
            pages::phones_describe_themselves_in_any_order_of_their_reports
            pages::filters_and_pages_find_the_calls_that_fit
            pages::every_query_finds_all_matching_calls_page_by_page
            repeats::a_request_with_a_key_is_carried_out_once
            repeats::a_request_whose_process_died_begins_anew
            repeats::a_request_that_says_so_stays_under_way
            states::other_programs_register_calls_and_join_their_sessions_to_ours
            states::a_key_that_could_not_be_written_is_noted_until_it_is
            webhooks::a_receiver_is_stored_changed_and_removed
            webhooks::every_notification_becomes_deliveries_once
            webhooks::notifications_wait_for_webhooks
            webhooks::one_process_at_a_time_sends_to_a_receiver
            webhooks::messages_have_instants_in_the_order_of_their_making
            webhooks::a_receiver_fails_since_its_first_failure
            webhooks::a_delivery_is_due_until_it_is_finished
            webhooks::a_delivery_that_failed_can_be_repeated
            webhooks::what_waits_for_a_receiver_that_ends_has_failed_and_is_forgotten
            windows::a_window_is_open_at_any_gateway_until_it_closes_or_its_gateway_dies
        }
    };
    ($store:ident $($module:ident::$law:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            let store = <$store as $crate::ledger::Store>::new().await;

            $crate::ledger::$module::$law(&store).await;
        })*
    };
}
pub(crate) use conformance;

/// The outcomes of all calls, as JSON.
async fn outcomes(ledger: &impl Query) -> Vec<String> {
    let filter = CallFilter {
        limit: 100,
        ..CallFilter::default()
    };
    let calls = ledger.calls(&filter).await.unwrap();

    calls
        .iter()
        .map(|call| serde_json::from_str::<Value>(&call.record).unwrap()["outcome"].to_string())
        .collect()
}
