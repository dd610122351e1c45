//! What really happened in a call, as the PBX knows it.

use std::collections::BTreeSet;

use super::Micros;

/// One call of the world.
#[derive(Clone, Debug)]
pub struct TrueCall {
    /// The kind of scene, for the table of results.
    pub kind: &'static str,
    pub direction: &'static str,
    pub outcome: &'static str,
    /// The calling party: digits of a number, an extension, or nothing for a withheld number.
    pub from: String,
    /// Parties that the record may name as called: who took the call, or for whom it was.
    pub to: BTreeSet<String>,
    /// The extensions of which one owns the call.
    pub answered_by: BTreeSet<String>,
    pub started: Micros,
    pub answered: Option<Micros>,
    pub ended: Micros,
    /// The extensions that missed the call.
    pub missed: BTreeSet<String>,
    pub transfer: Option<TrueTransfer>,
    /// Reports of this call that the network lost.
    pub lost_reports: u32,
    /// Other readings of the same reports: each is the set of calls that a careful reader may as
    /// well conclude, where the reports cannot know better. An exact record of any is right.
    pub readings: Vec<Vec<TrueCall>>,
    /// The call whose readings comprise this one too, as a place among the calls of the day.
    pub joined_with: Option<usize>,
}

/// A transfer that really was one.
#[derive(Clone, Debug)]
pub struct TrueTransfer {
    pub kinds: &'static [&'static str],
    pub state: &'static str,
    pub to: String,
}

impl TrueCall {
    pub(super) fn new(
        kind: &'static str,
        direction: &'static str,
        from: &str,
        started: Micros,
    ) -> TrueCall {
        TrueCall {
            kind,
            direction,
            outcome: "missed",
            from: from.to_owned(),
            to: BTreeSet::new(),
            answered_by: BTreeSet::new(),
            started,
            answered: None,
            ended: started,
            missed: BTreeSet::new(),
            transfer: None,
            lost_reports: 0,
            readings: Vec::new(),
            joined_with: None,
        }
    }

    pub(super) fn answer(&mut self, extension: &str, at: Micros) {
        self.outcome = "answered";
        self.answered_by.insert(extension.to_owned());
        self.to = BTreeSet::from([extension.to_owned()]);
        self.answered = Some(at);
        self.missed.clear();
    }

    /// A call with the same beginnings, and without other readings.
    pub(super) fn reading(&self) -> TrueCall {
        TrueCall {
            readings: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether the caller should be called back.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.outcome == "missed"
    }
}
