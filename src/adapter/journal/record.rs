//! One record on disk: `magic u16 | length u32 | crc32c u32 | sequence u64 | payload`,
//! little-endian. The checksum covers everything behind it; the magic lets a reader find the next
//! record after a damaged stretch.

const MAGIC: [u8; 2] = [0xC0, 0xDB];
pub(super) const HEADER_BYTES: usize = 18;
/// A longer length is damage: no request is that long.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Record {
        sequence: u64,
        payload: &'a [u8],
        bytes: usize,
    },
    /// The bytes end within a record: more may follow.
    Incomplete,
    /// This is no record.
    Damaged,
}

pub(super) fn encode(sequence: u64, payload: &[u8], into: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&checksum(length, sequence, payload).to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(payload);
}

fn checksum(length: u32, sequence: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &sequence.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

pub(super) fn decode(bytes: &[u8]) -> Found<'_> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Found::Damaged;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Found::Incomplete;
    };
    let length = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    let crc = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&header[10..18]);
    let sequence = u64::from_le_bytes(sequence);
    let Some(size) = usize::try_from(length)
        .ok()
        .filter(|size| *size <= PAYLOAD_BYTES_MAX)
    else {
        return Found::Damaged;
    };
    let Some(payload) = bytes.get(HEADER_BYTES..HEADER_BYTES + size) else {
        return Found::Incomplete;
    };
    if checksum(length, sequence, payload) != crc {
        return Found::Damaged;
    }
    Found::Record {
        sequence,
        payload,
        bytes: HEADER_BYTES + size,
    }
}

/// The place of the next record that can be read at or after `from`.
pub(super) fn next_readable(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|place| matches!(decode(&bytes[*place..]), Found::Record { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_round_trip_and_no_single_flipped_bit() {
        let mut bytes = Vec::new();
        encode(7, b"hello", &mut bytes);
        assert_eq!(
            decode(&bytes),
            Found::Record {
                sequence: 7,
                payload: b"hello",
                bytes: bytes.len()
            }
        );
        for cut in 1..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Found::Incomplete);
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(decode(&flipped), Found::Record { .. }),
                "bit {bit}"
            );
        }
    }
}
