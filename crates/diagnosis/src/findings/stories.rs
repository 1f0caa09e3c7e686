//! One message that tried several hosts is one story: attempts at these hosts are looked at together, as if they were one
//! destination. Where a connector is known, it says what belongs together.

use super::everywhere::organisation;
use crate::evidence::{Delivery, Dimension, Direction, Evidence, Record};
use crate::tables::{HashMap, HashSet};

/// Groups that a message has joined: each with another one of its story. The first of a story is not in it.
pub(super) struct Stories(HashMap<u32, u32>);

impl Stories {
    pub(super) fn of(evidence: &Evidence, records: &[&Record]) -> Self {
        let mut stories = Self(HashMap::default());
        if evidence.direction() == Direction::Inbound {
            return stories;
        }
        let is_host = |record: &&&Record| {
            record.delivery.is_known() && record.destination != 0 && record.group == record.destination
        };
        let mut first: HashMap<Delivery, u32> = HashMap::default();
        for record in records.iter().filter(is_host).filter(|record| record.symptom != 0) {
            let known = *first.entry(record.delivery).or_insert(record.group);
            stories.join(known, record.group);
        }
        // A host that takes what others refuse may be one for all domains: it belongs to them only by its name.
        let of_name = |group: u32| organisation(evidence.name(group));
        for record in records.iter().filter(is_host).filter(|record| record.symptom == 0) {
            let Some(known) = first.get(&record.delivery).copied() else { continue };
            if known != record.group && of_name(known) == of_name(record.group) {
                stories.join(known, record.group);
            }
        }
        stories
    }

    /// The group that an attempt is looked at in.
    pub(super) fn group(&self, record: &Record) -> u32 {
        self.root(record.group)
    }

    fn root(&self, mut group: u32) -> u32 {
        while let Some(next) = self.0.get(&group) {
            group = *next;
        }
        group
    }

    fn join(&mut self, a: u32, b: u32) {
        if a == b {
            return;
        }
        let (a, b) = (self.root(a), self.root(b));
        // The one that was seen first stays, so chains end.
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }
}

/// The domain of the recipients if they have one in common; else the group.
pub(super) fn domain_or(group: u32, failing: &[&Record]) -> u32 {
    let domains: HashSet<u32> = failing.iter().map(|record| record.value(Dimension::RecipientDomain)).collect();
    match domains.iter().next() {
        Some(domain) if domains.len() == 1 && *domain != 0 => *domain,
        _ => group,
    }
}

#[cfg(test)]
mod tests {
    use protocol::smtp::Phase;

    use crate::{Attempt, Evidence, Failed, Sign, Signs, Source, diagnose};

    /// Attempts of messages for one domain: number of the message, host, and whether it worked.
    fn findings(attempts: &[(u32, &str, bool)]) -> Vec<(String, u64, u64)> {
        let mut evidence = Evidence::default();
        for (message, host, worked) in attempts {
            let signs = Signs::default().and(Sign::ConnectionRefused);
            let text = "Connection refused".into();
            let failed = || Failed { phase: Some(Phase::Connect), signs, code: None, enhanced: None, text };
            let attempt = Attempt {
                message: Some(message.to_string().into()),
                recipient: Some("a@x.test".into()),
                recipient_domain: Some("x.test".into()),
                destination: Some(((*host).into(), Some(25))),
                failure: (!worked).then(failed),
                ..Attempt::by(Source::Log(&trace::postfix_log::FORMAT))
            };
            evidence.add(&attempt, || None);
        }
        let told = diagnose(&evidence).into_iter();
        told.map(|finding| (finding.scope.destination, finding.scope.failed, finding.messages_pending)).collect()
    }

    #[test]
    fn a_message_that_tried_several_hosts_is_one_story() {
        let hosts = ["mx1.x.test", "mx2.x.test", "mx1.y.test", "mx2.y.test"];
        let four: Vec<_> = hosts.iter().map(|host| (1, *host, false)).collect();
        assert_eq!(findings(&four), [("x.test".to_owned(), 4, 1)]);
        // The second host takes what the first one refuses: only the first one fails.
        let backup =
            [(1, "mx1.x.test", false), (1, "mx2.x.test", true), (2, "mx1.x.test", false), (2, "mx2.x.test", true)];
        assert_eq!(findings(&backup), [("mx1.x.test:25".to_owned(), 2, 0)]);
        // Two messages, two hosts.
        let apart = [(1, "mx1.x.test", false), (2, "mx2.x.test", false)];
        assert_eq!(findings(&apart).len(), 2);
    }
}
