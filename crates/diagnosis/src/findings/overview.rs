//! The overview: a row for each cause, however many destinations it has.

use jiff::Timestamp;

use super::finding::Finding;
use crate::causes::CauseId;
use crate::tables::HashMap;

/// All findings of one cause.
#[derive(Clone, PartialEq, Debug)]
pub struct OverviewRow {
    pub cause: CauseId,
    /// The highest of all.
    pub confidence: f64,
    pub is_ongoing: bool,
    pub findings: u64,
    pub destinations: u64,
    /// Attempts that failed by it.
    pub attempts: u64,
    /// As in [`Finding`], of any of them.
    pub messages_known: bool,
    pub messages_pending: u64,
    pub messages_bounced: u64,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
}

/// A row for each cause, in the order of the findings; causes that pass by themselves come last.
pub fn overview<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<OverviewRow> {
    let mut rows: Vec<OverviewRow> = Vec::new();
    let mut places: HashMap<CauseId, usize> = HashMap::default();
    for finding in findings {
        let place = *places.entry(finding.cause).or_insert_with(|| {
            rows.push(OverviewRow::empty(finding));
            rows.len() - 1
        });
        rows[place].add(finding);
    }
    rows.sort_by_key(|row| row.cause.passes_by_itself());
    rows
}

impl OverviewRow {
    fn empty(finding: &Finding) -> Self {
        Self {
            cause: finding.cause,
            confidence: 0.0,
            is_ongoing: false,
            findings: 0,
            destinations: 0,
            attempts: 0,
            messages_known: false,
            messages_pending: 0,
            messages_bounced: 0,
            first_seen: None,
            last_seen: None,
        }
    }

    fn add(&mut self, finding: &Finding) {
        self.confidence = self.confidence.max(finding.confidence);
        self.is_ongoing |= finding.is_ongoing();
        self.findings += 1;
        self.destinations += finding.scope.destinations;
        self.attempts += finding.scope.failed;
        self.messages_known |= finding.messages_known;
        self.messages_pending += finding.messages_pending;
        self.messages_bounced += finding.messages_bounced;
        self.first_seen = [self.first_seen, finding.first_seen].into_iter().flatten().min();
        self.last_seen = self.last_seen.max(finding.last_seen);
    }
}
