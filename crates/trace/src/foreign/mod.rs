//! The kinds of logs of other mail systems. A new kind is a reader, a line in this table, and a fuzz target: options,
//! evidence and printed commands go by the table.

mod format;

use crate::{exim_log, message_trace, postfix_log};
pub use format::{Detail, ForeignFormat, Open, Rows};

/// In the order in which help lists their options.
pub static FORMATS: [&ForeignFormat; 4] =
    [&message_trace::MESSAGE_TRACE, &message_trace::TRACKING_LOG, &postfix_log::FORMAT, &exim_log::FORMAT];

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
