//! Decides which incidents are open, without I/O. docs/decisions/0013-watching.md explains which mail opens an
//! incident.

#[cfg(test)]
mod tests;

use std::time::Duration;

use diagnosis::{CauseId, Finding, causes::Reach, unexplained};
use insight::views::FindingView;
use jiff::{SignedDuration, Timestamp};
use store::{Closed, Incident, Pending};
use uuid::Uuid;

use crate::config::Watch;

/// The facts about one connector.
pub(super) struct Facts<'a> {
    pub connector: &'a str,
    /// `None`: no message is waiting.
    pub pending: Option<&'a Pending>,
    /// Root causes first.
    pub findings: Vec<Finding>,
    pub last_delivered: Option<Timestamp>,
    /// Otherwise it delivers to foreign servers, for example notices.
    pub is_of_accepted_domain: bool,
    pub node: &'a str,
    pub now: Timestamp,
}

/// The decision about incidents.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Verdict {
    pub opened: Vec<Incident>,
    /// Incidents that stay open.
    pub seen: Vec<Incident>,
    pub closed: Vec<Incident>,
    /// What the pictures of these incidents are drawn from.
    pub pictures: Vec<(Uuid, String)>,
}

impl Verdict {
    pub(super) fn add(&mut self, other: Self) {
        self.opened.extend(other.opened);
        self.seen.extend(other.seen);
        self.closed.extend(other.closed);
        self.pictures.extend(other.pictures);
    }

    /// Chooses a picture for each incident from those of all findings.
    pub(super) fn add_pictures(&mut self, explained: &[(Finding, String)]) {
        let all = [&self.opened, &self.seen, &self.closed].into_iter().flatten();
        let picture = |incident: &Incident| {
            let of_cause = || explained.iter().filter(|(finding, _)| finding.cause.as_str() == incident.cause);
            let same = of_cause().find(|(finding, _)| finding.scope.destination == incident.destination);
            let (_, picture) = same.or_else(|| of_cause().next())?;
            Some((incident.id, picture.clone()))
        };
        self.pictures.extend(all.filter_map(picture));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.seen.is_empty() && self.closed.is_empty()
    }
}

/// `open` are the connector's open incidents.
pub(super) fn judge(watch: &Watch, facts: &Facts<'_>, open: &[&Incident]) -> Verdict {
    let causes = to_be_open(watch, facts, open);
    let mut verdict = Verdict::default();
    for finding in &causes {
        match open.iter().find(|incident| incident.cause == finding.cause.as_str()) {
            Some(incident) => verdict.seen.push(facts.incident(finding, (*incident).clone())),
            None => verdict.opened.push(facts.incident(finding, facts.new_incident(finding))),
        }
    }
    let gone = open.iter().filter(|incident| !causes.iter().any(|finding| finding.cause.as_str() == incident.cause));
    verdict.closed = gone.map(|incident| facts.close(incident, !causes.is_empty())).collect();
    verdict
}

/// A finding for each incident that should be open.
fn to_be_open(watch: &Watch, facts: &Facts<'_>, open: &[&Incident]) -> Vec<Finding> {
    let is_open = |cause: CauseId| open.iter().any(|incident| incident.cause == cause.as_str());
    let held: Vec<&Finding> = facts.findings.iter().filter(|finding| finding.messages_pending > 0).collect();
    let named = held.iter().filter(|finding| finding.cause != CauseId::Unknown);
    // An incident stays open until no mail waits for it, so that its end is not reported too early.
    let mut causes: Vec<&Finding> = Vec::new();
    let opens = |finding: &Finding| finding.is_ongoing() && facts.is_named_for_long(watch, finding);
    for finding in named.filter(|finding| is_open(finding.cause) || opens(finding)) {
        if !causes.iter().any(|known| known.cause == finding.cause) {
            causes.push(finding);
        }
    }
    if !facts.is_past_threshold(watch, &held, is_open(CauseId::Unknown)) {
        return causes.into_iter().cloned().collect();
    }
    // Mail that waits for its next attempt after the end of a finding is not stuck.
    if causes.is_empty() && !held.is_empty() && held.iter().all(|finding| !finding.is_ongoing()) {
        return Vec::new();
    }
    match held.iter().find(|finding| finding.is_root_cause() && finding.is_ongoing()) {
        Some(root) if !causes.iter().any(|known| known.cause == root.cause) => causes.push(root),
        None if causes.is_empty() => return vec![facts.unexplained(&held)],
        Some(_) | None => {}
    }
    causes.into_iter().cloned().collect()
}

impl Facts<'_> {
    fn is_named_for_long(&self, watch: &Watch, finding: &Finding) -> bool {
        self.is_of_accepted_domain
            && finding.is_root_cause()
            && finding.cause.reach() != Reach::Message
            && !finding.cause.passes_by_itself()
            && finding.pending_since.is_some_and(|since| self.is_older(since, *watch.oldest_named))
    }

    /// Too many messages wait, or one waits for too long. An open incident closes at half the number, so that it does
    /// not open and close repeatedly.
    fn is_past_threshold(&self, watch: &Watch, held: &[&Finding], is_open: bool) -> bool {
        let Some(pending) = self.pending else { return false };
        let messages_max = if is_open { watch.messages.div_ceil(2) } else { watch.messages };
        let tried = held.iter().filter(|finding| finding.cause.reach() != Reach::Message);
        let mut since = tried.filter_map(|finding| finding.pending_since).chain(pending.oldest_untried);
        pending.messages >= u64::from(messages_max)
            || (self.is_of_accepted_domain && since.any(|since| self.is_older(since, *watch.oldest)))
    }

    fn is_older(&self, since: Timestamp, age: Duration) -> bool {
        self.now.duration_since(since) >= SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX)
    }

    fn unexplained(&self, held: &[&Finding]) -> Finding {
        let guesses: Vec<Finding> = held.iter().map(|finding| (*finding).clone()).collect();
        let messages = self.pending.map_or(0, |pending| pending.messages);
        unexplained(self.connector, messages, self.pending.map(|pending| pending.oldest), &guesses)
    }

    fn new_incident(&self, finding: &Finding) -> Incident {
        Incident {
            id: Uuid::now_v7(),
            connector: self.connector.to_owned(),
            destination: String::new(),
            cause: finding.cause.to_string(),
            node: self.node.to_owned(),
            opened: self.now,
            last_seen: self.now,
            closed: None,
            pending: 0,
            pending_peak: 0,
            oldest: None,
            finding: String::new(),
        }
    }

    /// The incident with its current numbers.
    fn incident(&self, finding: &Finding, before: Incident) -> Incident {
        let pending = self.pending.map_or(0, |pending| pending.messages);
        Incident {
            destination: finding.scope.destination.clone(),
            last_seen: self.now,
            pending,
            pending_peak: before.pending_peak.max(pending),
            oldest: self.pending.map(|pending| pending.oldest),
            finding: json(finding),
            ..before
        }
    }

    fn close(&self, incident: &Incident, others_are_open: bool) -> Incident {
        let flows = self.last_delivered.is_some_and(|at| at >= incident.opened);
        let because = match () {
            () if others_are_open => Closed::CauseChanged,
            () if flows => Closed::MailFlows,
            () => Closed::NothingPending,
        };
        let pending = self.pending.map_or(0, |pending| pending.messages);
        let oldest = self.pending.map(|pending| pending.oldest);
        // How it ended, and at what cost.
        let over = self.findings.iter().find(|finding| {
            finding.cause.as_str() == incident.cause
                && finding.scope.destination == incident.destination
                && !finding.is_ongoing()
        });
        let finding = over.map_or_else(|| incident.finding.clone(), json);
        Incident { closed: Some((self.now, because)), pending, oldest, finding, ..incident.clone() }
    }
}

/// As `gatepost why --format json` prints it.
fn json(finding: &Finding) -> String {
    serde_json::to_string(&FindingView::from(finding)).unwrap_or_default()
}
