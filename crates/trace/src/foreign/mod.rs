//! The kinds of logs of other mail systems. A new kind is a reader, a line in this table, and a fuzz target: options,
//! recognition, evidence and printed commands go by the table.

mod beginning;
mod format;
pub(crate) mod looks;
mod recognise;
mod unknown;

use crate::{
    exchange_output, exim_log, haraka_log, iis_smtp_log, kumomta_log, message_trace, opensmtpd_log, postfix_log,
    qmail_log, queue_listing, sendmail_log, stalwart_log,
};
pub use beginning::{BEGINNING_BYTES, Beginning};
pub use format::{Detail, ForeignFormat, Open, Rows};
pub use recognise::{Input, Recognised, recognise};
pub use unknown::Unknown;

/// In the order in which help lists their options.
pub static FORMATS: [&ForeignFormat; 19] = [
    &message_trace::MESSAGE_TRACE,
    &message_trace::TRACKING_LOG,
    &postfix_log::FORMAT,
    &exim_log::FORMAT,
    &exchange_output::QUEUE,
    &exchange_output::TRACKING,
    &exchange_output::TRACE_DETAIL,
    &exchange_output::SUMMARY,
    &exchange_output::GRAPH,
    &exchange_output::CONNECTIVITY,
    &iis_smtp_log::FORMAT,
    &queue_listing::MAILQ,
    &queue_listing::POSTQUEUE,
    &sendmail_log::FORMAT,
    &opensmtpd_log::FORMAT,
    &qmail_log::FORMAT,
    &kumomta_log::FORMAT,
    &stalwart_log::FORMAT,
    &haraka_log::FORMAT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_options() {
        for (place, format) in FORMATS.iter().enumerate() {
            assert_eq!(FORMATS.iter().position(|known| known == format), Some(place));
            assert!(format.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", format.name);
            assert!(!format.why_help.is_empty() && !format.trace_help.is_empty(), "{}", format.name);
        }
    }
}
