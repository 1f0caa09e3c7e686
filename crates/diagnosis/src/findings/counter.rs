//! Counter-evidence: mail that was delivered to the same domain or recipient, although the cause would have hit it too.

use super::judged::Causes;
use crate::{
    causes::CauseId,
    evidence::{Dimension, Record},
    tables::HashSet,
};

/// What is left of a likelihood if all that failed was also delivered at another time.
const LEFT: f64 = 0.55;

/// Domains and recipients that fail, and to which mail was delivered at another time or through another host.
#[derive(Default)]
pub(super) struct Delivered {
    domains: HashSet<u32>,
    recipients: HashSet<u64>,
}

impl Delivered {
    pub(super) fn of(records: &[&Record], causes: &Causes) -> Self {
        let mut failing = Self::default();
        for record in records {
            match causes.of(record).map(|(cause, _)| cause.id) {
                Some(CauseId::DnsFailure | CauseId::DomainTakesNoMail) => {
                    failing.domains.insert(record.value(Dimension::RecipientDomain))
                }
                Some(CauseId::RecipientUnknown) => failing.recipients.insert(record.delivery.recipient()),
                _ => false,
            };
        }
        failing.domains.remove(&0);
        failing.recipients.remove(&0);
        failing.among(records)
    }

    /// Those of them to which mail was delivered.
    fn among(&self, records: &[&Record]) -> Self {
        if self.domains.is_empty() && self.recipients.is_empty() {
            return Self::default();
        }
        let worked = || records.iter().filter(|record| record.symptom == 0);
        Self {
            domains: worked()
                .map(|record| record.value(Dimension::RecipientDomain))
                .filter(|number| self.domains.contains(number))
                .collect(),
            recipients: worked()
                .map(|record| record.delivery.recipient())
                .filter(|number| self.recipients.contains(number))
                .collect(),
        }
    }

    /// From 1, where nothing else was delivered, down to [`LEFT`].
    pub(super) fn factor(&self, cause: CauseId, failing: &[&Record]) -> f64 {
        let is_delivered = |record: &&&Record| match cause {
            CauseId::DnsFailure | CauseId::DomainTakesNoMail => {
                self.domains.contains(&record.value(Dimension::RecipientDomain))
            }
            CauseId::RecipientUnknown => self.recipients.contains(&record.delivery.recipient()),
            _ => false,
        };
        let share = failing.iter().filter(is_delivered).count() as f64 / failing.len().max(1) as f64;
        1.0 - (1.0 - LEFT) * share
    }
}
