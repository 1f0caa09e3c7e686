//! Mail without an attempt of its own: its connector is paused, and the connector's last failure is why it waits.

use jiff::Timestamp;

use super::{Attempt, Evidence, record::Delivery};

/// A delivery that waits without an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untried {
    pub delivery: Delivery,
    /// Milliseconds since 1970.
    pub since: i64,
}

impl Evidence {
    /// Adds deliveries (message, recipient, time of receipt) that wait without an attempt, because of the last failure of
    /// their connector. That attempt counts, unless another one failed in the same way.
    pub fn add_untried<'a>(
        &mut self,
        last_failure: &Attempt<'_>,
        deliveries: impl Iterator<Item = (&'a str, &'a str, Timestamp)>,
    ) {
        let known = self.records.len();
        let (group, symptom) = self.record(last_failure, Vec::new);
        let is_same = |record: &super::Record| (record.group, record.symptom) == (group, symptom);
        if symptom != 0 && self.records.iter().take(known).any(is_same) {
            self.records.truncate(known);
        }
        let mut untried = Vec::new();
        for (message, recipient, since) in deliveries {
            let delivery = self.delivery_of(Some(message), Some(recipient));
            untried.push(Untried { delivery, since: since.as_millisecond() });
            if let Some(about) = &mut self.about {
                let waits = Attempt {
                    message: Some(message.into()),
                    recipient: Some(recipient.into()),
                    ..Attempt::by(last_failure.source)
                };
                about.note(&waits, group, symptom);
            }
        }
        self.untried.entry((group, symptom)).or_default().extend(untried);
    }

    pub(crate) fn untried(&self, group: u32, symptom: u32) -> &[Untried] {
        self.untried.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }
}
