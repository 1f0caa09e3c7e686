//! Groups of attempts that belong together: a message that tried four hosts is one story, not four.

use std::collections::HashMap;

use crate::evidence::{Delivery, Evidence, Record};

/// Groups that are one, each by the smallest number among them.
#[derive(Default)]
pub(super) struct Stories(HashMap<u32, u32>);

impl Stories {
    /// `endings` has one record of each delivery.
    pub(super) fn of(evidence: &Evidence, records: &[&Record], endings: &HashMap<Delivery, &Record>) -> Self {
        let mut stories = Self::default();
        for record in records {
            let Some(ending) = endings.get(&record.delivery).filter(|ending| ending.group != record.group) else {
                continue;
            };
            // What one connector does says nothing about another one.
            if !evidence.is_connector(record.group) && !evidence.is_connector(ending.group) {
                stories.unite(record.group, ending.group);
            }
        }
        stories
    }

    pub(super) fn of_group(&self, mut group: u32) -> u32 {
        while let Some(next) = self.0.get(&group) {
            group = *next;
        }
        group
    }

    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of_group(a), self.of_group(b));
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }
}
