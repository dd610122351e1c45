//! The partition of a site. Publishers and workers of all versions must agree, so the function
//! never changes.

use sha2::{Digest, Sha256};

use crate::domain::fact::Site;

/// The partition of a site: the first four bytes of SHA-256 of its name, modulo the number of
/// partitions.
#[must_use]
pub fn partition_of(site: &Site, partitions: u32) -> u32 {
    let digest = Sha256::digest(site.as_str());
    let [a, b, c, d, ..] = *digest.as_slice() else {
        return 0;
    };

    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_sites_never_change_and_are_even() {
        let site = |name: &str| Site::parse(name).unwrap();
        assert_eq!(partition_of(&site("default"), 16), 1);
        assert_eq!(partition_of(&site("default"), 1), 0);

        let mut counts = [0; 16];
        for number in 0..1_600 {
            counts[partition_of(&site(&format!("site-{number}")), 16) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (70..130).contains(count)),
            "{counts:?}"
        );
    }
}
