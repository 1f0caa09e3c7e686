//! The cause of each way of failing.

use crate::{
    causes::{Cause, CauseId},
    evidence::{Evidence, Record},
};

/// The best cause of each symptom, by the symptom's number.
pub(super) struct Causes(Vec<(&'static Cause, f64)>);

impl Causes {
    pub(super) fn judge(evidence: &Evidence) -> Self {
        let symptoms = (1..).map_while(|number| evidence.symptoms.get(number));
        Self(symptoms.map(|symptom| symptom.cause()).collect())
    }

    /// `None`: it worked.
    pub(super) fn of(&self, record: &Record) -> Option<(&'static Cause, f64)> {
        self.0.get((record.symptom as usize).checked_sub(1)?).copied()
    }

    pub(super) fn of_symptom(&self, number: u32) -> Option<&'static Cause> {
        self.0.get((number as usize).checked_sub(1)?).map(|(cause, _)| *cause)
    }

    /// What fails at all destinations has another cause: one on this side.
    pub(super) fn rename(&mut self, to: impl Fn(CauseId) -> Option<CauseId>) {
        for (cause, _) in &mut self.0 {
            if let Some(id) = to(cause.id) {
                *cause = id.cause();
            }
        }
    }
}
