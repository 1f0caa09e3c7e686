//! How the kinds of logs look that were read before files were recognised; newer readers have this beside them.

use super::Beginning;

/// Extended reports, and lists of messages.
pub(crate) fn message_trace(beginning: &Beginning) -> usize {
    let is_report = beginning.has_names(&["datetimeutc", "eventid"]);
    let is_list = beginning.has_names(&["received", "senderaddress", "recipientaddress", "status"]);
    beginning.all_if((is_report || is_list) && !is_powershell_list(beginning))
}

pub(crate) fn tracking_log(beginning: &Beginning) -> usize {
    let is_named = beginning.header("log-type").is_some_and(|kind| kind.contains("message tracking"));
    let has_columns = beginning.header("fields").is_some_and(|fields| {
        let fields = fields.replace('_', "-");
        fields.contains("event-id") && fields.contains("recipient-address")
    });
    // Without the lines above it, as it was copied.
    let is_bare = beginning.has_names(&["datetime", "eventid", "recipientaddress", "recipientstatus"]);
    beginning.all_if(is_named || has_columns || is_bare)
}

/// `Name : value`, which another reader takes.
pub(crate) fn is_powershell_list(beginning: &Beginning) -> bool {
    let is_field = |line: &&str| crate::field_names::list_field(line).is_some();
    beginning.lines().filter(is_field).count() * 2 > beginning.lines().count()
}

/// `1aBcDe-000001-AB`, or since 4.97 `1aBcDe-00000000001-ABCD`.
pub(crate) fn is_exim_id(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    matches!(parts.as_slice(), [6, 6, 2] | [6, 11, 4])
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
