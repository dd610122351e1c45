//! Requests that a client sends again when it got no answer, and that are carried out once.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// A request with a key of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatableRequest {
    /// The account or token.
    pub owner: String,
    pub key: String,
    /// Of method, path, body and the rights of the owner: the same key with another request is a
    /// mistake.
    pub digest: String,
}

/// The answer to a request, as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: String,
}

/// What is known about a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is new, and under way from now on.
    New,
    UnderWay,
    Answered(KeptAnswer),
    /// Another request has the key.
    Other,
}

/// The stored requests and answers.
#[async_trait]
pub trait Repeats: Send + Sync {
    /// Begins a request. One that is under way since before `stale` has lost its process, and begins
    /// anew; one from before `expired` is forgotten.
    async fn begin(
        &self,
        request: &RepeatableRequest,
        now: At,
        stale: At,
        expired: At,
    ) -> Result<Begun, LedgerError>;

    /// Says that a request which began at an instant is still under way: it counts as begun `now`.
    /// `false` when it is not under way any more, or began anew.
    async fn renew(
        &self,
        request: &RepeatableRequest,
        begun_at: At,
        now: At,
    ) -> Result<bool, LedgerError>;

    /// Keeps the answer of a request that began at an instant.
    async fn keep_answer(
        &self,
        request: &RepeatableRequest,
        begun_at: At,
        answer: &KeptAnswer,
    ) -> Result<(), LedgerError>;

    /// Forgets a request that was not carried out.
    async fn forget(&self, request: &RepeatableRequest, begun_at: At) -> Result<(), LedgerError>;
}
