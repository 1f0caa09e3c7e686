//! The pictures of a finding, made from the attempts that it rests on.

mod pair;

use diagnosis::{Attempt, Compared, Explained, Lane, Lanes, Share, Shares};
use jiff::Timestamp;
use protocol::host_port;

use crate::views::{LaneView, LanesView, PictureView, SeenAttemptView, ShareView, SharesView};

/// Spans of time into which attempts are counted.
const COLUMNS: u32 = 80;
/// With fewer attempts, a list says more than a picture.
const LIST_MAX: u64 = 10;
/// Characters of one foreign text that are kept.
const TEXT_MAX: usize = 300;

impl PictureView {
    /// `read_since`: earlier attempts were not all read.
    pub fn new(explained: &Explained<'_>, read_since: Option<Timestamp>) -> Self {
        let lanes = explained.lanes();
        let all: u64 = lanes.lanes.iter().map(|lane| lane.failed + lane.worked).sum();
        Self {
            lanes: LanesView::from(lanes),
            compared: explained.shares().into_iter().map(SharesView::from).collect(),
            pair: explained.pair().map(|(failed, worked)| pair::view(failed, worked)),
            attempts: if all < LIST_MAX { listed(explained) } else { Vec::new() },
            read_since,
        }
    }
}

fn listed(explained: &Explained<'_>) -> Vec<SeenAttemptView> {
    let mut attempts = explained.failing();
    attempts.extend(explained.working());
    attempts.sort_by_key(|attempt| attempt.at);
    attempts.into_iter().map(SeenAttemptView::from).collect()
}

impl From<Lanes> for LanesView {
    fn from(Lanes { dimension, lanes }: Lanes) -> Self {
        let times = || lanes.iter().flat_map(|lane| lane.failed_at.iter().chain(&lane.worked_at)).copied();
        let (since, until) = (times().min(), times().max());
        let axis = Axis { since: since.unwrap_or_default(), until: until.unwrap_or_default() };
        Self {
            dimension: dimension.iter().map(|dimension| dimension.name().to_owned()).collect(),
            since,
            until,
            columns: COLUMNS,
            lanes: lanes.iter().map(|lane| axis.lane(lane)).collect(),
        }
    }
}

/// The time from the first attempt to the last.
struct Axis {
    since: Timestamp,
    until: Timestamp,
}

impl Axis {
    fn lane(&self, lane: &Lane) -> LaneView {
        let mut counts = [(0, 0); COLUMNS as usize];
        for (times, is_failed) in [(&lane.failed_at, true), (&lane.worked_at, false)] {
            for time in times {
                if let Some((failed, worked)) = counts.get_mut(self.column(*time)) {
                    *(if is_failed { failed } else { worked }) += 1;
                }
            }
        }
        let column = |(column, (failed, worked)): (u32, &(u32, u32))| {
            (failed + worked > 0).then_some((column, *failed, *worked))
        };
        LaneView {
            value: bounded(&lane.value),
            failed: lane.failed,
            worked: lane.worked,
            counts: (0..).zip(&counts).filter_map(column).collect(),
            nodes: lane.nodes.iter().map(|node| self.lane(node)).collect(),
        }
    }

    fn column(&self, at: Timestamp) -> usize {
        let span = (self.until.as_millisecond() - self.since.as_millisecond()).max(1);
        let place = i64::from(COLUMNS) * (at.as_millisecond() - self.since.as_millisecond()) / span;
        place.clamp(0, i64::from(COLUMNS) - 1) as usize
    }
}

impl From<Shares> for SharesView {
    fn from(Shares { compared, follows, failed, worked }: Shares) -> Self {
        let Compared { dimension, split, outcome, .. } = compared;
        let share = |Share { value, attempts }| ShareView { value: value.as_deref().map(bounded), attempts };
        let numbers = split.map(|split| (split.failed, split.of, split.worked, split.of_works));
        let (split_failed, split_of, split_worked, split_of_works) = numbers.unwrap_or_default();
        Self {
            dimension: dimension.iter().map(|dimension| dimension.name().to_owned()).collect(),
            outcome: outcome.name().to_owned(),
            follows,
            split_failed,
            split_of,
            split_worked,
            split_of_works,
            failed: failed.into_iter().map(share).collect(),
            worked: worked.into_iter().map(share).collect(),
        }
    }
}

impl From<&Attempt<'_>> for SeenAttemptView {
    fn from(attempt: &Attempt<'_>) -> Self {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(bounded);
        Self {
            at: attempt.at,
            node: text(&attempt.node),
            tls_policy: text(&attempt.tls_policy),
            destination: attempt.destination.as_ref().map(|(host, port)| bounded(&host_port::join(host, *port))),
            message: text(&attempt.message),
            session: text(&attempt.session),
            failure: attempt.failure.as_ref().map(|failure| bounded(&failure.text)),
            tls: attempt.tls.as_ref().map(|(version, cipher)| bounded(&format!("{version} {cipher}"))),
        }
    }
}

/// A stored picture must stay small, whatever a destination says.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use diagnosis::{Evidence, Failed, Sign, Signs, Source, explain};
    use jiff::ToSpan;
    use protocol::smtp::Phase;

    use super::*;

    /// A stored picture is small, and reads back as it was.
    #[test]
    fn a_picture_is_bounded_and_reads_back() {
        let mut evidence = Evidence::keeping(5);
        let foreign = "\u{202e}<é\">".repeat(2000);
        for number in 0..4000_i64 {
            let fails = number % 2 == 0;
            let signs = Signs::default().and(Sign::HandshakeFailed).and(Sign::AlertHandshakeFailure);
            let text = foreign.as_str().into();
            let failed = Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text };
            let attempt = Attempt {
                at: Some(Timestamp::UNIX_EPOCH + (number * 7).seconds()),
                message: Some(format!("{number}{foreign}").into()),
                node: Some(format!("mx{}{foreign}", number % 50).into()),
                tls_policy: Some(format!("{}{foreign}", if fails { "modern" } else { "legacy" }).into()),
                destination: Some((foreign.as_str().into(), Some(25))),
                failure: fails.then_some(failed),
                ..Attempt::by(Source::History)
            };
            evidence.add(&attempt, || None);
        }
        let picture = PictureView::new(&explain(&evidence)[0], None);
        assert_eq!((picture.lanes.lanes.len(), picture.lanes.lanes[0].nodes.len()), (2, 6));
        let json = serde_json::to_string(&picture).unwrap();
        assert!(json.len() < 64 * 1024, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<PictureView>(&json).unwrap(), picture);
        // What another version stored may lack anything.
        assert_eq!(serde_json::from_str::<PictureView>("{}").unwrap(), PictureView::default());
    }

    #[test]
    fn a_few_attempts_are_listed() {
        let mut evidence = Evidence::keeping(5);
        for number in 0..3_i64 {
            let text = "it failed".into();
            let failed = Failed { phase: None, signs: Signs::default(), code: None, enhanced: None, text };
            let at = Timestamp::UNIX_EPOCH + (10 - number).seconds();
            evidence.add(&Attempt { at: Some(at), failure: Some(failed), ..Attempt::by(Source::History) }, || None);
        }
        let picture = PictureView::new(&explain(&evidence)[0], None);
        let seen: Vec<_> = picture.attempts.iter().filter_map(|attempt| attempt.at).map(Timestamp::as_second).collect();
        assert_eq!(seen, [8, 9, 10]);
    }
}
