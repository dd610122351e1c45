//! The findings of `doctor`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Good,
    /// It works, and operations should know.
    Note,
    Bad,
}

/// The state of one thing that the service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub subject: &'static str,
    pub grade: Grade,
    pub text: String,
}

impl Finding {
    pub(super) fn good(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(subject, Grade::Good, text.into())
    }

    pub(super) fn note(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(subject, Grade::Note, text.into())
    }

    pub(super) fn bad(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(subject, Grade::Bad, text.into())
    }

    fn new(subject: &'static str, grade: Grade, text: String) -> Finding {
        Finding {
            subject,
            grade,
            text,
        }
    }
}
