//! Formats that others store or read: messages, fact lines, call records as JSON, the policy file.

pub mod call_data;
pub mod call_json;
pub mod envelope;
pub mod explanation;
pub mod fact_line;
pub mod instant;
pub mod message;
pub mod names;
pub mod notification;
pub mod partition;
pub mod policy_file;
pub mod transfer;
