//! A finding with the attempts that it rests on, for pictures and for those who want to see for themselves.

use std::rc::Rc;

use jiff::Timestamp;
use protocol::smtp::Phase;

use super::finding::Finding;
use crate::{
    comparison::Split,
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

/// Attempts that have a value in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    pub value: String,
    pub failed: u64,
    pub worked: u64,
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

    /// When attempts failed, and when others worked.
    pub fn times(&self) -> (Vec<Timestamp>, Vec<Timestamp>) {
        let times = |records: &[&Record]| {
            let known = records.iter().filter(|record| record.at != i64::MIN);
            known.filter_map(|record| Timestamp::from_millisecond(record.at).ok()).collect()
        };
        (times(&self.failing), times(&self.working))
    }

    /// Failing and working attempts by the split's dimension, those that fail most first. Empty where there is no split.
    pub fn tallies(&self) -> Vec<Tally> {
        let Some(split) = &self.finding.scope.split else { return Vec::new() };
        if split.dimension.iter().all(|dimension| dimension.is_name()) { self.by_name(split) } else { sides(split) }
    }

    fn by_name(&self, split: &Split) -> Vec<Tally> {
        let mut counts: HashMap<Vec<u32>, (u64, u64)> = HashMap::default();
        let value = |record: &Record| -> Vec<u32> {
            split.dimension.iter().map(|dimension| record.value(*dimension)).collect()
        };
        for record in &self.failing {
            counts.entry(value(record)).or_default().0 += 1;
        }
        for record in self.working.iter() {
            counts.entry(value(record)).or_default().1 += 1;
        }
        let name = |numbers: &[u32]| {
            let names =
                numbers.iter().map(|number| if *number == 0 { "not known" } else { self.evidence.name(*number) });
            names.collect::<Vec<_>>().join(" with ")
        };
        let tally = |(numbers, (failed, worked)): (Vec<u32>, _)| Tally { value: name(&numbers), failed, worked };
        let mut tallies: Vec<Tally> = counts.into_iter().map(tally).collect();
        let share = |tally: &Tally| tally.failed as f64 / (tally.failed + tally.worked) as f64;
        tallies.sort_by(|a, b| share(b).total_cmp(&share(a)).then_with(|| a.value.cmp(&b.value)));
        tallies
    }
}

/// A limit has two sides.
fn sides(split: &Split) -> Vec<Tally> {
    let tally = |values: &[String], failed, worked| Tally { value: values.join(", "), failed, worked };
    vec![
        tally(&split.fails, split.failed, split.of - split.failed),
        tally(&split.works, split.of_works - split.worked, split.worked),
    ]
}
