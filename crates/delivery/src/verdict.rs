//! Decides what happens to a delivery: another attempt or failure, and which notice its sender gets.

use jiff::Timestamp;
use protocol::smtp::{Failure, FailureKind, Notify, Phase, ReversePath};
use trace::event::NoticeAction;

use crate::schedule::Schedule;

/// A delivery at the moment of decision.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub schedule: &'a Schedule,
    pub received: Timestamp,
    pub now: Timestamp,
    /// Deferrals before this one.
    pub attempts: u32,
    pub delay_notified: bool,
    pub notify: Option<Notify>,
    pub sender: &'a ReversePath,
    /// From 0 to 1.
    pub jitter: f64,
}

/// After an attempt that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    Retry {
        due: Timestamp,
        review: Timestamp,
        delay_notice: bool,
        delay_notified: bool,
    },
    /// `notice`: the sender gets a notice.
    Fail {
        failure: Failure,
        notice: bool,
    },
}

/// After the review of a delivery without an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Review {
    Keep { review: Timestamp, delay_notice: bool, delay_notified: bool },
    Fail { failure: Failure, notice: bool },
}

impl Situation<'_> {
    fn has_expired(&self) -> bool {
        self.now >= self.schedule.expires_at(self.received)
    }

    /// The null sender gets no notices (RFC 5321 section 4.5.5).
    fn may_notify(&self, wants: impl Fn(Notify) -> bool) -> bool {
        *self.sender != ReversePath::Null && wants(self.notify.unwrap_or_default())
    }

    /// Whether a delay notice is due now, and whether its time has passed.
    fn delay(&self) -> (bool, bool) {
        let time_has_come = self.schedule.delay_notice_at(self.received).is_some_and(|at| self.now >= at);
        let notice = time_has_come && !self.delay_notified && self.may_notify(Notify::on_delay);
        (notice, self.delay_notified || time_has_come)
    }

    fn fail(&self, failure: Failure) -> (Failure, bool) {
        (failure, self.may_notify(Notify::on_failure))
    }
}

/// Decides after an attempt that ended with `failure`.
pub fn after_failure(situation: &Situation, failure: Failure) -> Decision {
    if failure.is_permanent() {
        let (failure, notice) = situation.fail(failure);
        return Decision::Fail { failure, notice };
    }
    if situation.has_expired() {
        let (failure, notice) = situation.fail(expired(Some(&failure)));
        return Decision::Fail { failure, notice };
    }
    let (delay_notice, delay_notified) = situation.delay();
    let due = situation.schedule.next_due(situation.attempts + 1, situation.now, situation.jitter);
    Decision::Retry {
        // The last attempt is made at the very end of the queue's lifetime.
        due: due.min(situation.schedule.expires_at(situation.received)),
        review: situation.schedule.next_review(situation.received, delay_notified),
        delay_notice,
        delay_notified,
    }
}

/// Decides about a delivery that is due for review without an attempt.
pub fn review(situation: &Situation, last_failure: Option<&Failure>) -> Review {
    if situation.has_expired() {
        let (failure, notice) = situation.fail(expired(last_failure));
        return Review::Fail { failure, notice };
    }
    let (delay_notice, delay_notified) = situation.delay();
    Review::Keep {
        review: situation.schedule.next_review(situation.received, delay_notified),
        delay_notice,
        delay_notified,
    }
}

/// The notice of success for the sender: "relayed" if the destination sends no notices (RFC 3461 section 5.2.2).
pub fn success_notice(notify: Option<Notify>, sender: &ReversePath, offers_dsn: bool) -> Option<NoticeAction> {
    let wanted = notify.is_some_and(Notify::on_success) && *sender != ReversePath::Null;
    (wanted && !offers_dsn).then_some(NoticeAction::Relayed)
}

/// Expiry keeps the failure of the last attempt, which is the cause.
fn expired(last: Option<&Failure>) -> Failure {
    match last {
        Some(last) => {
            let cause = Some(Box::new(last.kind.clone()));
            Failure { kind: FailureKind::Expired { cause }, ..last.clone() }
        }
        // There was no attempt: the delivery waited for its first lookup.
        None => Failure::new(Phase::Resolve, FailureKind::Expired { cause: None }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::smtp::{Address, Reply};

    use super::*;

    fn schedule() -> Schedule {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        Schedule { intervals: vec![Duration::from_secs(900)], expire: hours(24), delay_notice: Some(hours(4)) }
    }

    fn sender() -> ReversePath {
        ReversePath::Address(Address::parse("a@b.test").unwrap())
    }

    fn at<'a>(schedule: &'a Schedule, sender: &'a ReversePath, seconds: i64) -> Situation<'a> {
        Situation {
            schedule,
            received: Timestamp::UNIX_EPOCH,
            now: Timestamp::from_second(seconds).unwrap(),
            attempts: 0,
            delay_notified: false,
            notify: None,
            sender,
            jitter: 0.5,
        }
    }

    fn refused() -> Failure {
        Failure::new(Phase::Connect, FailureKind::ConnectionRefused)
    }

    #[test]
    fn a_permanent_failure_is_final() {
        let (schedule, sender) = (schedule(), sender());
        let failure = Failure::rejected(Phase::Rcpt, Reply::new(550, None, "no such user"));
        let decision = after_failure(&at(&schedule, &sender, 1), failure.clone());
        assert_eq!(decision, Decision::Fail { failure, notice: true });
    }

    #[test]
    fn a_transient_failure_is_tried_again_until_it_expires() {
        let (schedule, sender) = (schedule(), sender());
        let due = |seconds| match after_failure(&at(&schedule, &sender, seconds), refused()) {
            Decision::Retry { due, .. } => Some(due.as_second()),
            Decision::Fail { .. } => None,
        };
        assert_eq!(due(10), Some(910));
        assert_eq!(due(86_000), Some(86_400), "the last attempt is at the end");
        assert_eq!(due(86_400), None);
        let Decision::Fail { failure, notice: true } = after_failure(&at(&schedule, &sender, 86_400), refused()) else {
            panic!("an expired delivery was not bounced");
        };
        let cause = Some(Box::new(FailureKind::ConnectionRefused));
        assert_eq!((failure.phase, failure.kind), (Phase::Connect, FailureKind::Expired { cause }));
    }

    #[test]
    fn one_delay_notice_and_none_for_the_null_sender() {
        let (schedule, sender, null) = (schedule(), sender(), ReversePath::Null);
        let never = Some(Notify::Never);
        for (sender, notified, notify, seconds, expected) in [
            (&sender, false, None, 14_399, (false, false)),
            (&sender, false, None, 14_400, (true, true)),
            (&sender, true, None, 14_400, (false, true)),
            (&null, false, None, 14_400, (false, true)),
            (&sender, false, never, 14_400, (false, true)),
        ] {
            let situation = Situation { delay_notified: notified, notify, ..at(&schedule, sender, seconds) };
            let Decision::Retry { delay_notice, delay_notified, .. } = after_failure(&situation, refused()) else {
                panic!("given up at {seconds}");
            };
            assert_eq!((delay_notice, delay_notified), expected, "{situation:?}");
            let Review::Keep { delay_notice, delay_notified, .. } = review(&situation, None) else {
                panic!("given up at {seconds}");
            };
            assert_eq!((delay_notice, delay_notified), expected, "{situation:?}");
        }
    }

    #[test]
    fn success_is_told_only_where_the_destination_will_not() {
        let sender = sender();
        let wanted = Some(Notify::On { success: true, failure: false, delay: false });
        assert_eq!(success_notice(wanted, &sender, false), Some(NoticeAction::Relayed));
        assert_eq!(success_notice(wanted, &sender, true), None);
        assert_eq!(success_notice(None, &sender, false), None);
        assert_eq!(success_notice(wanted, &ReversePath::Null, false), None);
    }
}
