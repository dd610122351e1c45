//! Accounts: roles and their rights, the sites they are limited to, secrets, and the masking of
//! numbers. No IO: services and adapters store and check accounts with these types.

mod mask;
mod password;
mod principal;
mod role;
mod secret;

pub use mask::{mask_number, mask_numbers_in, mask_record, masked_if_outside};
pub use password::{
    PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PasswordError, PasswordHash, check_password,
};
pub use principal::{ACCOUNT_NAMES, Identity, Principal, SiteError, is_account_name};
pub use role::{Right, Role, SiteScope};
pub use secret::{Secret, SecretHash};
