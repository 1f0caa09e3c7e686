//! What became of a delivery, or what it waits for, as a sentence.

use insight::{Status, WaitReasons};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::smtp::Failure;
use store::{DeliveryRecord, State};
use trace::Waiting;

use super::words::{ago, clock, foreign, time};

/// The status with its shape: solid is failed, hollow is delivered, dashed is waiting.
pub(super) fn status_name(state: State) -> Markup {
    let (class, word) = match state {
        State::Delivered => ("works", "Delivered"),
        State::Failed => ("fails", "Bounced"),
        State::Removed => ("gone", "Removed"),
        State::Queued | State::Leased | State::Suspended => ("waits", Status::from(state).name()),
    };
    html! { span.status { span.key.(class) {} (word) } }
}

pub(super) fn waits_in_queue(record: &DeliveryRecord) -> bool {
    Status::from(record.state) == Status::Pending
}

pub(super) fn sentence(record: &DeliveryRecord, reasons: &WaitReasons<'_>, now: Timestamp) -> Markup {
    let at = |settled: Option<Timestamp>| html! { @if let Some(at) = settled { " at " (time(at)) } };
    let failure = reasons.cause(record).map(|failure| failure.summary());
    let delivery = &record.delivery;
    html! {
        (status_name(record.state))
        @match record.state {
            State::Delivered => {
                (at(record.settled)) " through " (foreign(&delivery.connector)) "."
                @if let Some(reply) = &record.reply { " Reply: " (foreign(&reply.to_string())) }
            }
            State::Failed => {
                (at(record.settled)) "."
                @if let Some(failure) = failure { " Cause: " (foreign(&failure)) "." }
            }
            State::Removed => { (at(record.settled)) " by an operator, without a notice to the sender." }
            State::Queued | State::Leased | State::Suspended => {
                @if let Some(waiting) = reasons.waiting(record) { ": " (waits(&waiting, now)) "." }
                @match failure {
                    Some(failure) => { " Cause: " (foreign(&failure)) "." }
                    None if delivery.attempts == 0 => " No attempt yet.",
                    None => {}
                }
            }
        }
    }
}

/// A failure beside its destination, which it does not name again.
pub(super) fn failure_alone(failure: &Failure) -> Markup {
    foreign(&Failure { destination: None, ..failure.clone() }.summary())
}

/// What a delivery waits for, to be read on within a sentence.
pub(super) fn waits(waiting: &Waiting, now: Timestamp) -> Markup {
    let at =
        |at: Timestamp| html! { @if at > now { "at " (clock(at, now)) " (in " (ago(at, now)) ")" } @else { "now" } };
    html! {
        @match waiting {
            Waiting::Timer { until } => { "next attempt " (at(*until)) }
            Waiting::ConnectorLimit { limit } => { "connector at its limit (" (limit) ")" }
            Waiting::ConnectorBackedOff { until } => { "connector paused, next attempt " (at(*until)) }
            Waiting::Suspended { by } => { "suspended by " (foreign(by)) }
            Waiting::Restored => "held, because the store was restored from a backup",
            Waiting::Leased { node, doing: Some(doing), .. } => {
                (foreign(node)) " has been " (foreign(&doing.to_string())) " for " (ago(doing.since, now))
            }
            Waiting::Leased { node, doing: None, .. } => { "being sent by " (foreign(node)) }
            Waiting::NoRoute { connector } => { "the configuration has no connector " (foreign(connector)) }
            Waiting::PolicyForbids { policy } => { "TLS policy " (foreign(policy)) " forbids it" }
            Waiting::NoNode { last_seen: Some(at) } => { "no node is running; the last one was seen at " (time(*at)) }
            Waiting::NoNode { last_seen: None } => "no node is running",
        }
    }
}
