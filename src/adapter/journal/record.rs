//! The format of one record on disk:
//! `magic u16 | length u32 | crc32c u32 | sequence u64 | payload`, little-endian.
//!
//! The checksum covers the length, the sequence number and the payload. The magic lets a reader
//! find the next record after a damaged stretch.

const MAGIC: [u8; 2] = [0xC0, 0xDB];
pub(super) const HEADER_BYTES: usize = 18;
/// Longest payload; a longer length means damage, because no request is that long.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// The result of decoding the bytes at one offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Record {
        sequence: u64,
        payload: &'a [u8],
        bytes: usize,
    },
    /// The bytes end within a record: more may follow.
    Incomplete,
    /// The bytes are not a record.
    Damaged,
}

/// Appends an encoded record to `buffer`.
pub(super) fn encode(sequence: u64, payload: &[u8], buffer: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);

    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&checksum(length, sequence, payload).to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(payload);
}

fn checksum(length: u32, sequence: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &sequence.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

/// Decodes the record at the beginning of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Decoded::Damaged;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Decoded::Incomplete;
    };

    let length = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    let crc = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&header[10..18]);
    let sequence = u64::from_le_bytes(sequence);

    let Some(payload_bytes) = usize::try_from(length)
        .ok()
        .filter(|length| *length <= PAYLOAD_BYTES_MAX)
    else {
        return Decoded::Damaged;
    };
    let Some(payload) = bytes.get(HEADER_BYTES..HEADER_BYTES + payload_bytes) else {
        return Decoded::Incomplete;
    };
    if checksum(length, sequence, payload) != crc {
        return Decoded::Damaged;
    }

    Decoded::Record {
        sequence,
        payload,
        bytes: HEADER_BYTES + payload_bytes,
    }
}

/// Returns the offset of the first readable record at or after `from`.
pub(super) fn find_record(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|offset| matches!(decode(&bytes[*offset..]), Decoded::Record { .. }))
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
            Decoded::Record {
                sequence: 7,
                payload: b"hello",
                bytes: bytes.len()
            }
        );
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Decoded::Incomplete);
        }

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            assert!(
                !matches!(decode(&flipped), Decoded::Record { .. }),
                "bit {bit}"
            );
        }
    }
}
