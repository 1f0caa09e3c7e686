//! How facts are written in rows, the same in every engine: numbers of states and parameters, failures, notices, TLS.

use jiff::Timestamp;
use protocol::smtp::{Failure, FailureKind, Notify, Phase, Ret, TlsSummary};
use serde_json::Value;
use trace::event::NoticeAction;

use crate::State;

pub(crate) fn state_number(state: State) -> u8 {
    match state {
        State::Queued => 0,
        State::Leased => 1,
        State::Suspended => 2,
        State::Delivered => 3,
        State::Failed => 4,
        State::Removed => 5,
    }
}

pub(crate) fn state_from_number(number: i64) -> Option<State> {
    match number {
        0 => Some(State::Queued),
        1 => Some(State::Leased),
        2 => Some(State::Suspended),
        3 => Some(State::Delivered),
        4 => Some(State::Failed),
        5 => Some(State::Removed),
        _ => None,
    }
}

/// A bit each for success, failure and delay; 0 is NEVER.
pub(crate) fn notify_bits(notify: Notify) -> u8 {
    match notify {
        Notify::Never => 0,
        Notify::On { success, failure, delay } => u8::from(success) | u8::from(failure) << 1 | u8::from(delay) << 2,
    }
}

pub(crate) fn notify_from_bits(bits: u8) -> Notify {
    match bits {
        0 => Notify::Never,
        bits => Notify::On { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0 },
    }
}

pub(crate) fn ret_number(ret: Ret) -> u8 {
    match ret {
        Ret::Full => 0,
        Ret::Headers => 1,
    }
}

pub(crate) fn ret_from_number(number: u8) -> Ret {
    if number == 0 { Ret::Full } else { Ret::Headers }
}

/// The notice that a sender is owed.
pub(crate) fn notice_number(action: NoticeAction) -> u8 {
    match action {
        NoticeAction::Failed => 1,
        NoticeAction::Delayed => 2,
        NoticeAction::Relayed => 3,
    }
}

pub(crate) fn notice_from_number(number: u8) -> NoticeAction {
    match number {
        1 => NoticeAction::Failed,
        2 => NoticeAction::Delayed,
        _ => NoticeAction::Relayed,
    }
}

/// Such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty in plaintext.
pub(crate) fn tls_text(tls: Option<&TlsSummary>) -> String {
    tls.map(|tls| format!("{} {}", tls.version, tls.cipher)).unwrap_or_default()
}

pub(crate) fn tls_from_text(text: &str) -> Option<TlsSummary> {
    let (version, cipher) = text.split_once(' ')?;
    Some(TlsSummary { version: version.to_owned(), cipher: cipher.to_owned() })
}

/// A failure in JSON. If a newer version wrote a kind that this one does not know, the failure becomes a local one that
/// names that kind.
pub(crate) fn failure(text: &str) -> Failure {
    if let Ok(failure) = serde_json::from_str(text) {
        return failure;
    }
    let fields: Value = serde_json::from_str(text).unwrap_or_default();
    let detail = format!("{}, recorded by a newer version of gatepost", fields["kind"].as_str().unwrap_or("a failure"));
    let phase = serde_json::from_value(fields["phase"].clone()).unwrap_or(Phase::Resolve);
    Failure {
        reply: serde_json::from_value(fields["reply"].clone()).unwrap_or_default(),
        destination: serde_json::from_value(fields["destination"].clone()).unwrap_or_default(),
        ..Failure::new(phase, FailureKind::Local { detail })
    }
}

/// Milliseconds since 1970. A time that cannot be told is the latest there is.
pub(crate) fn time_from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// A pattern with `*` as LIKE has it, with `\` as its escape.
pub(crate) fn like(pattern: &str) -> String {
    like_escaped(pattern).replace('*', "%")
}

pub(crate) fn like_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
