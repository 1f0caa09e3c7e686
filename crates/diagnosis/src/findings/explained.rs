//! A finding with the attempts that it rests on, for pictures and for those who want to see for themselves.

use std::rc::Rc;

use protocol::smtp::Phase;

use super::finding::Finding;
use crate::{
    evidence::{Dimension, Evidence, Record},
    tables::HashMap,
};

#[derive(Clone, Debug)]
pub struct Explained<'a> {
    pub finding: Finding,
    pub(crate) evidence: &'a Evidence,
    pub(crate) groups: Vec<u32>,
    pub(crate) failing: Vec<&'a Record>,
    /// The attempts that all findings of a group are compared with.
    pub(crate) working: Rc<[&'a Record]>,
}

impl<'a> Explained<'a> {
    /// How many attempts of the group worked.
    pub fn worked(&self) -> u64 {
        self.working.len() as u64
    }

    /// True if any of its attempts matches what was asked about; see [`Evidence::ask_about`].
    pub fn is_asked_about(&self) -> bool {
        let symptom = |record: &Record| if record.symptom == 0 { record.plaintext_after } else { record.symptom };
        self.failing.iter().any(|record| self.evidence.is_asked_about(record.group, symptom(record)))
    }

    /// The TLS policy under which most attempts failed, where that is known.
    pub fn failing_policy(&self) -> Option<&'a str> {
        let mut counts: HashMap<u32, u64> = HashMap::default();
        for record in &self.failing {
            *counts.entry(record.value(Dimension::TlsPolicy)).or_default() += 1;
        }
        let (number, _) = counts.into_iter().filter(|(number, _)| *number != 0).max_by_key(|(_, count)| *count)?;
        Some(self.evidence.name(number))
    }

    /// The phase in which most attempts failed, where that is known.
    pub fn failing_phase(&self) -> Option<Phase> {
        let mut counts: HashMap<Phase, u64> = HashMap::default();
        for record in &self.failing {
            let symptom = self.evidence.symptoms.get(record.symptom);
            if let Some(phase) = symptom.and_then(|symptom| symptom.phase) {
                *counts.entry(phase).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(phase, count)| (*count, *phase)).map(|(phase, _)| phase)
    }
}
