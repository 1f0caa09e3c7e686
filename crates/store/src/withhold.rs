//! Withholding addresses: of a message that is finished, only the domains of its addresses are kept.
//!
//! The same local part gets the same substitute in rows, replies and events, so that these still match each other. See
//! docs/decisions/0009-withheld-addresses.md.

use serde_json::Value;
use trace::Event;

/// The mark of a message: as it came, to be withheld once it is finished, and withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Withhold {
    Never,
    WhenFinished,
    Done,
}

impl Withhold {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Never => 0,
            Self::WhenFinished => 1,
            Self::Done => 2,
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Never,
            1 => Self::WhenFinished,
            _ => Self::Done,
        }
    }
}

/// An event that came after the addresses of its message were replaced. They are not known any more, so that the
/// destination's words go whole where they may contain one. `recipient` is the substitute.
pub(crate) fn late_event(event: &Event, recipient: Option<String>) -> serde_json::Result<Value> {
    let mut event = serde_json::to_value(event)?;
    if let Some(fields) = event.as_object_mut() {
        fields.remove("recipient");
    }
    each_text(&mut event, &|text| text.contains('@').then(|| "withheld".to_owned()));
    if let (Some(fields), Some(recipient)) = (event.as_object_mut(), recipient) {
        fields.insert("recipient".to_owned(), recipient.into());
    }
    Ok(event)
}

/// What stands for each address of a message.
pub(crate) struct Substitutes {
    pub(crate) sender: String,
    addresses: Vec<Substitute>,
}

struct Substitute {
    local_part: String,
    domain: String,
    by: String,
}

impl Substitutes {
    /// Recipients come last: of two that fit alike, the last is taken, and most events are about recipients.
    pub(crate) fn new(sender: String, recipients: &[String]) -> Self {
        let numbered = recipients.iter().enumerate().map(|(index, text)| (text, format!("withheld-{}", index + 1)));
        let all = std::iter::once((&sender, "withheld".to_owned())).chain(numbered);
        let substitute = |(text, by): (&String, String)| {
            let (local_part, domain) = text.rsplit_once('@')?;
            Some(Substitute { local_part: local_part.to_owned(), domain: domain.to_owned(), by })
        };
        let addresses = all.filter_map(substitute).collect();
        Self { sender, addresses }
    }

    pub(crate) fn replace_in(&self, value: &mut Value) {
        each_text(value, &|text| text.contains('@').then(|| self.replace(text)));
    }

    /// The text with all local parts replaced. Only what stands before an @ is looked at: a thousand recipients in a
    /// thousand events are no burden then.
    pub(crate) fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = 0;
        for (at, _) in text.match_indices('@') {
            let (before, domain) = (&text[rest..at], &text[at + 1..]);
            if let Some(found) = self.find(before, domain) {
                replaced.push_str(&before[..before.len() - found.local_part.len()]);
                replaced.push_str(&found.by);
                rest = at;
            }
        }
        replaced + &text[rest..]
    }

    /// Servers write addresses in another case, or tell the domain where a mailbox really is.
    fn find(&self, before: &str, domain: &str) -> Option<&Substitute> {
        let ends = |text: &str, end: &str| {
            let start = text.len().checked_sub(end.len());
            start.filter(|start| text.as_bytes()[*start..].eq_ignore_ascii_case(end.as_bytes()))
        };
        let starts = |wanted: &str| {
            domain.as_bytes().get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted.as_bytes()))
        };
        let fits = |address: &&Substitute| {
            let whole = |start| before.get(..start).is_some_and(|before: &str| !before.ends_with(continues_local_part));
            ends(before, &address.local_part).is_some_and(whole)
        };
        let rank = |address: &&Substitute| {
            let exactly = before.ends_with(&address.local_part) && domain.starts_with(&address.domain);
            (address.local_part.len(), starts(&address.domain), exactly, address.domain.len())
        };
        self.addresses.iter().filter(fits).max_by_key(rank)
    }
}

/// Before a local part: that it is the end of a longer one. Other characters that may stand in one also stand before
/// one, as in `to=<user@…>`.
fn continues_local_part(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '_' | '+' | '-')
}

/// Puts what `change` gives in the place of each text in a value.
fn each_text(value: &mut Value, change: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(changed) = change(text) {
                *text = changed;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| each_text(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_parts_are_replaced_wherever_they_stand() {
        let recipients =
            ["bob@x.test", "bob@y.test", "Bob@x.test", "a.bob@x.test", "\"o'neil, x\"@x.test", "grüße@x.test"];
        let recipients = recipients.map(str::to_owned);
        let substitutes = Substitutes::new("alice@partner.test".to_owned(), &recipients);
        for (text, expected) in [
            ("bob@x.test", "withheld-1@x.test"),
            ("BOB@X.TEST", "withheld-3@X.TEST"),
            ("Bob@x.test", "withheld-3@x.test"),
            ("bob@y.test, bob@x.test", "withheld-2@y.test, withheld-1@x.test"),
            ("<a.bob@x.test> unknown", "<withheld-4@x.test> unknown"),
            ("to=<bob@mailbox.test>\nbob@y.test", "to=<withheld-3@mailbox.test>\nwithheld-2@y.test"),
            ("jobob@x.test bo@x.test", "jobob@x.test bo@x.test"),
            ("\"o'neil, x\"@x.test", "withheld-5@x.test"),
            ("Grüße@x.test; grüße@x.test", "withheld-6@x.test; withheld-6@x.test"),
            ("ß@x.test @ bob @@", "ß@x.test @ bob @@"),
            ("from alice@partner.test", "from withheld@partner.test"),
            ("", ""),
        ] {
            assert_eq!(substitutes.replace(text), expected, "{text}");
        }
    }

    #[test]
    fn mail_to_oneself_has_one_substitute() {
        let substitutes = Substitutes::new("a@x.test".to_owned(), &["a@x.test".to_owned()]);
        assert_eq!(substitutes.replace("a@x.test"), "withheld-1@x.test");
        let null = Substitutes::new(String::new(), &["a@x.test".to_owned()]);
        assert_eq!(null.replace(&null.sender), "");
    }
}
