//! The ledger port comes with its first adapter.
