//! How mail of a connector goes, and what was seen of one connection.

use insight::views::ValidationStepView;
use jiff::Timestamp;
use net::{send::Seen, tls::TlsSettings};
use protocol::{
    smtp::{Failure, Phase, Reply},
    tls::{Certificate, HandshakeFacts},
};

use super::mail::Mail;
use crate::config::Connector;

/// How mail of a connector goes.
pub(super) struct Way<'a> {
    pub(super) connector: &'a Connector,
    pub(super) tls: TlsSettings,
    pub(super) mail: Option<&'a Mail>,
    pub(super) now: Timestamp,
}

/// What was seen of one connection.
pub(super) struct Heard {
    pub(super) seen: Seen,
    pub(super) opened: Result<(), Failure>,
    /// To the recipient, or to the message if one was sent.
    pub(super) reply: Option<Result<Reply, Failure>>,
}

impl Heard {
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.opened.as_ref().err()
    }

    pub(super) fn handshake(&self) -> Option<&HandshakeFacts> {
        self.seen.handshake.as_deref()
    }

    pub(super) fn leaf(&self) -> Option<&Certificate> {
        self.handshake()?.certificates.first()
    }
}

pub(super) fn step_of(phase: Phase) -> ValidationStepView {
    match phase {
        Phase::Resolve | Phase::Connect => ValidationStepView::Connect,
        Phase::Banner | Phase::Ehlo => ValidationStepView::Greeting,
        Phase::StartTls => ValidationStepView::StartTls,
        Phase::Handshake => ValidationStepView::Handshake,
        Phase::Mail | Phase::Rcpt => ValidationStepView::Recipient,
        Phase::Data | Phase::EndOfData | Phase::Quit => ValidationStepView::TestMail,
    }
}
