//! Instants as RFC 3339 text, always in UTC and with microseconds.

use jiff::Timestamp;

use crate::domain::time::At;

/// Reads an instant such as `2026-01-01T00:00:00.110Z`.
///
/// # Errors
/// The text is no RFC 3339 instant; the error says why.
pub fn parse(text: &str) -> Result<At, String> {
    let timestamp: Timestamp = text
        .trim()
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;

    Ok(At(timestamp.as_microsecond()))
}

/// Writes an instant. An instant outside the calendar becomes its first or last one.
#[must_use]
pub fn text(at: At) -> String {
    let nearest = if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    let timestamp = Timestamp::from_microsecond(at.0).unwrap_or(nearest);

    format!("{timestamp:.6}")
}

/// An instant in seconds since 1970.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of these centuries are exact within one"
)]
pub fn seconds(at: At) -> f64 {
    at.0 as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_round_trip() {
        let at = parse("2026-01-01T00:00:00.110Z").unwrap_or(At::START);

        assert_eq!(text(at), "2026-01-01T00:00:00.110000Z");
        assert_eq!(parse("2026-01-01T01:00:00.11+01:00"), Ok(at));
        assert!(parse("yesterday").is_err());
        assert!(!text(At::END).is_empty() && !text(At::START).is_empty());
    }
}
