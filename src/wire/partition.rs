//! Partitions: sites are spread over them, and each has one worker at a time. Publishers and
//! workers of all versions must agree, so the partition of a site never changes.

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

/// A generation of the partitions, and their number. Another number of partitions is another
/// generation, with queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub generation: u32,
    pub partitions: u32,
}

impl Layout {
    #[must_use]
    pub fn partition_of(self, site: &Site) -> u32 {
        partition_of(site, self.partitions)
    }

    /// The name of a partition: `p03`, and `g2.p03` from the second generation on.
    #[must_use]
    pub fn partition_name(self, number: u32) -> String {
        if self.generation <= 1 {
            format!("p{number:02}")
        } else {
            format!("g{}.p{number:02}", self.generation)
        }
    }
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
