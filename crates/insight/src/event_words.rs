//! Events in words, for terminals and pages.

use trace::{EventKind, event::NoticeAction};

/// Events that are neither attempts nor the receipt of the message; `None` for those.
pub fn deed(kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::Received(_)
        | EventKind::Delivered { .. }
        | EventKind::Deferred { .. }
        | EventKind::Failed { .. }
        | EventKind::HostFailed { .. } => return None,
        EventKind::Interrupted { leased_by } => {
            format!("interrupted: {leased_by} stopped before it had the result; the recipient may get a duplicate")
        }
        EventKind::Notified { action, notice } => {
            format!("notice to the sender ({}): message {notice}", action_name(*action))
        }
        EventKind::NoticeWithheld { action } => {
            let action = action_name(*action);
            format!("no notice to the sender ({action}): too many notices to that address, see [notices] per_sender")
        }
        EventKind::Suspended { by } => format!("suspended by {by}"),
        EventKind::Resumed { by } => format!("resumed by {by}"),
        EventKind::Retried { by } => format!("retry requested by {by}"),
        EventKind::Removed { by } => format!("removed by {by}"),
        EventKind::Unknown { name, .. } => format!("{name} (recorded by a newer version of gatepost)"),
    })
}

fn action_name(action: NoticeAction) -> &'static str {
    match action {
        NoticeAction::Failed => "failed",
        NoticeAction::Delayed => "delayed",
        NoticeAction::Relayed => "relayed",
    }
}
