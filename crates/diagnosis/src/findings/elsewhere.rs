//! Attempts that worked at other hosts of the same domains, for hosts at which nothing works. Only sources without
//! connectors need it: their attempts are compared host by host.

use std::cell::OnceCell;

use crate::evidence::{Dimension, Evidence, Record};
use crate::tables::{HashMap, HashSet};

/// A host that serves more domains than this is compared with no other host.
const DOMAINS_MAX: usize = 16;

pub(super) struct Elsewhere<'e> {
    evidence: &'e Evidence,
    /// Attempts that worked, by recipient domain; made when it is needed for the first time.
    working: OnceCell<HashMap<u32, Vec<&'e Record>>>,
}

impl<'e> Elsewhere<'e> {
    pub(super) fn of(evidence: &'e Evidence) -> Self {
        Self { evidence, working: OnceCell::new() }
    }

    /// Empty if the domains of `failing` are not known, or if there are many.
    pub(super) fn for_domains_of(&self, failing: &[&Record]) -> Vec<&'e Record> {
        let domains: HashSet<u32> = failing.iter().map(|record| record.value(Dimension::RecipientDomain)).collect();
        if domains.len() > DOMAINS_MAX || domains.contains(&0) {
            return Vec::new();
        }
        let working = self.working.get_or_init(|| by_domain(self.evidence));
        domains.iter().filter_map(|domain| working.get(domain)).flatten().copied().collect()
    }
}

fn by_domain(evidence: &Evidence) -> HashMap<u32, Vec<&Record>> {
    let mut working: HashMap<u32, Vec<&Record>> = HashMap::default();
    let own = |record: &&Record| record.symptom == 0 && record.destination != 0 && !evidence.is_connector(record.group);
    for record in evidence.records.iter().filter(own) {
        working.entry(record.value(Dimension::RecipientDomain)).or_default().push(record);
    }
    working.remove(&0);
    working
}
