//! What became of a message for one recipient, in the words of Exchange Online's message trace.

/// A closed set: these are all that Microsoft documents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    Delivered,
    Pending,
    Failed,
    Quarantined,
    FilteredAsSpam,
    /// Of a list: its members got it.
    Expanded,
    /// Too new for its status to be known.
    GettingStatus,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Pending,
        Self::Failed,
        Self::Quarantined,
        Self::FilteredAsSpam,
        Self::Expanded,
        Self::GettingStatus,
    ];

    /// As commands write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
            Self::Quarantined => "Quarantined",
            Self::FilteredAsSpam => "FilteredAsSpam",
            Self::Expanded => "Expanded",
            Self::GettingStatus => "GettingStatus",
        }
    }

    /// As commands, the administrator's pages (`Filtered as spam`) and Graph (`filteredAsSpam`) write it.
    pub fn read(text: &str) -> Option<Self> {
        let letters = || text.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'_'));
        let is_it = |status: &Self| letters().map(|byte| byte.to_ascii_lowercase()).eq(lower(status.name()));
        Self::ALL.into_iter().find(is_it)
    }

    /// The status that an event of a message tracking log leaves its recipient in; `None` where it settles nothing.
    /// Lists of messages have no events, and their status in the place of it.
    pub fn after_event(event: &str) -> Option<Self> {
        const EVENTS: [(&str, Status); 11] = [
            ("DELIVER", Status::Delivered),
            ("SEND", Status::Delivered),
            ("SENDEXTERNAL", Status::Delivered),
            ("DUPLICATEDELIVER", Status::Delivered),
            ("FAIL", Status::Failed),
            ("DELIVERFAIL", Status::Failed),
            ("BADMAIL", Status::Failed),
            ("DROP", Status::Failed),
            ("POISONMESSAGE", Status::Failed),
            ("EXPAND", Status::Expanded),
            ("DUPLICATEEXPAND", Status::Expanded),
        ];
        let known = EVENTS.iter().find(|(name, _)| event.eq_ignore_ascii_case(name));
        known.map(|(_, status)| *status).or_else(|| Self::read(event))
    }
}

fn lower(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_anybody_writes_them() {
        for status in Status::ALL {
            assert_eq!(Status::read(status.name()), Some(status));
            assert_eq!(Status::read(&status.name().to_uppercase()), Some(status));
        }
        let table = [
            ("Filtered as spam", Some(Status::FilteredAsSpam)),
            ("filteredAsSpam", Some(Status::FilteredAsSpam)),
            ("getting-status", Some(Status::GettingStatus)),
            ("None", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Status::read(text), expected, "{text}");
        }
    }
}
