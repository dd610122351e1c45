//! The text of an error with its sources, for the one place that handles it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// Displays an error and its sources, separated by colons. A source that the text before it quotes
/// already, as errors of some libraries do, is left out.
pub struct Chain<'e>(pub &'e (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        formatter.write_str(&shown)?;

        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(formatter, ": {text}")?;
                shown = text;
            }
            source = error.source();
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("{text}")]
        Above {
            text: &'static str,
            source: Box<Layer>,
        },
        #[error("disk full")]
        Disk,
    }

    fn above(text: &'static str, source: Layer) -> Layer {
        Layer::Above {
            text,
            source: Box::new(source),
        }
    }

    #[test]
    fn each_source_is_shown_once() {
        let error = above("cannot commit", above("cannot write", Layer::Disk));
        assert_eq!(
            Chain(&error).to_string(),
            "cannot commit: cannot write: disk full"
        );

        let quoting = above(
            "cannot commit",
            above("cannot write: disk full", Layer::Disk),
        );
        assert_eq!(
            Chain(&quoting).to_string(),
            "cannot commit: cannot write: disk full"
        );
    }
}
