//! Counter-evidence: mail that was delivered to the same domain or recipient, although the cause would have hit it too.

use std::collections::HashSet;

use crate::{
    causes::CauseId,
    evidence::{Dimension, Record},
};

/// What is left of a likelihood if all that failed was also delivered at another time.
const LEFT: f64 = 0.55;

/// Domains and recipients to which mail was delivered, through whatever host.
#[derive(Default)]
pub(super) struct Delivered {
    domains: HashSet<u32>,
    recipients: HashSet<u64>,
}

impl Delivered {
    pub(super) fn of(records: &[&Record]) -> Self {
        let mut delivered = Self::default();
        for record in records.iter().filter(|record| record.symptom == 0) {
            delivered.domains.insert(domain(record));
            delivered.recipients.insert(record.delivery.recipient());
        }
        delivered.domains.remove(&0);
        delivered.recipients.remove(&0);
        delivered
    }

    /// From 1, where nothing else was delivered, down to [`LEFT`].
    pub(super) fn factor(&self, cause: CauseId, failing: &[&Record]) -> f64 {
        let is_delivered = |record: &&&Record| match cause {
            CauseId::DnsFailure | CauseId::DomainTakesNoMail => self.domains.contains(&domain(record)),
            CauseId::RecipientUnknown => self.recipients.contains(&record.delivery.recipient()),
            _ => false,
        };
        let share = failing.iter().filter(is_delivered).count() as f64 / failing.len().max(1) as f64;
        1.0 - (1.0 - LEFT) * share
    }
}

fn domain(record: &Record) -> u32 {
    record.values[Dimension::RecipientDomain as usize]
}
