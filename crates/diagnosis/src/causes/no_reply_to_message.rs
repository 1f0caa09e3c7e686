//! `no-reply-to-message`: The whole message was sent, and no reply came to its end: the connection closed or timed out.
//! The destination may have accepted it, so each attempt may make a duplicate. Logs: "while sending end of data".

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::{destination, exchange, exim, gatepost, network, postfix, sender},
};

/// This side closed: a longer wait helps.
const GAVE_UP: &[Sign] = &[Sign::TimedOut];

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NoReplyToMessage,
    does: "does not reply to the end of the message, and may accept duplicates",
    likelihood,
    remedies: &[
        destination(
            "Check in the server's log whether it accepted the message, and what delays its reply: usually a content filter that runs before the reply.",
        )
        .local(false),
        local_service::LISTENER,
        network(
            "Check that no firewall or virus scanner between {us} and the destination inspects SMTP: some swallow the reply.",
        ),
        gatepost(
            "Set `end_of_data` in `[connector.timeouts]` to 10 minutes or more (RFC 5321 section 4.5.3.2.6), so that fewer duplicates arise.",
        )
        .on(GAVE_UP),
        postfix(
            "Set `smtp_data_done_timeout` (of the LMTP client: `lmtp_data_done_timeout`) to 600s or more (RFC 5321 section 4.5.3.2.6), so that fewer duplicates arise.",
        )
        .on(GAVE_UP),
        exchange(
            "Set `Set-SendConnector NAME -ConnectionInactivityTimeOut 00:10:00` or more, so that fewer duplicates arise.",
        )
        .on(GAVE_UP),
        exim(
            "Set `final_timeout` of the transport to 10m or more (RFC 5321 section 4.5.3.2.6), so that fewer duplicates arise.",
        )
        .on(GAVE_UP),
        sender(
            "Wait for the reply for 10 minutes or more (RFC 5321 section 4.5.3.2.6), so that fewer duplicates arise.",
        )
        .on(GAVE_UP),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    let is_cut = s.signs.any(&[Sign::ConnectionClosed, Sign::ConnectionReset]);
    match () {
        () if s.phase != Some(Phase::EndOfData) || s.code.is_some_and(|code| code != 421) => 0.0,
        // Of a large message, the final dot may never have reached the destination.
        () if s.has(Sign::TimedOut) && s.has(Sign::FinalDotUnsure) && s.has(Sign::LargeMessage) => 0.55,
        () if s.has(Sign::TimedOut) => 0.85,
        () if is_cut && s.has(Sign::FinalDotUnsure) => 0.45,
        () if is_cut => 0.85,
        () => 0.0,
    }
}
