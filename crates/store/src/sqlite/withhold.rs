//! Withholding addresses: of a message that has come to rest, only the domains of its addresses are kept.
//!
//! The same local part gets the same substitute in rows, replies and events, so that these still match each other. What
//! SQLite frees is overwritten with zeros as long as such mail is in the queue, see docs/decisions/0009-withheld-addresses.md.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use trace::Event;

use super::row::Json;
use crate::{DeliveryKey, MessageKey};

/// The column `withhold` of a message: as it came, to be withheld once it rests, and withheld.
pub(super) const WHEN_AT_REST: u8 = 1;
const DONE: u8 = 2;

/// From here on this connection leaves nothing behind in what it frees.
pub(super) fn wipe_what_is_freed(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA secure_delete = ON")?.query([])?.next()?;
    Ok(())
}

/// Such mail waits in the file.
pub(super) fn is_wanted(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM message WHERE withhold = 1 LIMIT 1")?.exists([])
}

/// Replaces the local parts of a message that has come to rest, if that is wanted.
pub(super) fn at_rest(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    if standing(connection, message)? != WHEN_AT_REST {
        return Ok(());
    }
    let substitutes = Substitutes::read(connection, message)?;
    replace_in_message(connection, message, &substitutes)?;
    replace_in_deliveries(connection, message, &substitutes)?;
    replace_in_events(connection, message, &substitutes)
}

/// An event that came too late to be replaced with the others. Its message's addresses are not known any more, so that
/// the destination's words go whole where they may have one in them.
pub(super) fn late(
    connection: &Connection,
    message: MessageKey,
    delivery: DeliveryKey,
    event: &Event,
) -> rusqlite::Result<Option<Value>> {
    if standing(connection, message.0)? != DONE {
        return Ok(None);
    }
    let mut select = connection.prepare_cached("SELECT recipient FROM delivery WHERE id = ?1")?;
    let recipient: Option<String> = select.query_row([delivery.0], |row| row.get(0)).optional()?;
    let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let mut event = serde_json::to_value(event).map_err(failed)?;
    if let Some(fields) = event.as_object_mut() {
        fields.remove("recipient");
    }
    each_text(&mut event, &|text| text.contains('@').then(|| "withheld".to_owned()));
    if let (Some(fields), Some(recipient)) = (event.as_object_mut(), recipient) {
        fields.insert("recipient".to_owned(), recipient.into());
    }
    Ok(Some(event))
}

fn standing(connection: &Connection, message: i64) -> rusqlite::Result<u8> {
    let mut select = connection.prepare_cached("SELECT withhold FROM message WHERE id = ?1")?;
    Ok(select.query_row([message], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// The identifier of the sender's system is for notices only, and often has an address in it.
fn replace_in_message(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE message SET sender = ?2, envid = NULL, withhold = ?3 WHERE id = ?1")?;
    update.execute(params![message, substitutes.replace(&substitutes.sender), DONE])?;
    Ok(())
}

fn replace_in_deliveries(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    type Row = (i64, String, Option<Json<Value>>, Option<Json<Value>>);
    let mut select =
        connection.prepare_cached("SELECT id, recipient, reply, failure FROM delivery WHERE message = ?1")?;
    let rows = select.query_map([message], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let rows: Vec<Row> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = connection
        .prepare_cached("UPDATE delivery SET recipient = ?2, orcpt = NULL, reply = ?3, failure = ?4 WHERE id = ?1")?;
    for (id, recipient, mut reply, mut failure) in rows {
        for Json(words) in [&mut reply, &mut failure].into_iter().flatten() {
            substitutes.replace_in(words);
        }
        update.execute(params![id, substitutes.replace(&recipient), reply, failure])?;
    }
    Ok(())
}

fn replace_in_events(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT id, json FROM event WHERE message = ?1")?;
    let rows = select.query_map([message], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, Json<Value>)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare_cached("UPDATE event SET json = ?2 WHERE id = ?1")?;
    for (id, mut event) in rows {
        substitutes.replace_in(&mut event.0);
        update.execute(params![id, event])?;
    }
    Ok(())
}

/// What stands for each address of a message.
struct Substitutes {
    sender: String,
    addresses: Vec<Substitute>,
}

struct Substitute {
    local_part: String,
    domain: String,
    by: String,
}

impl Substitutes {
    fn read(connection: &Connection, message: i64) -> rusqlite::Result<Self> {
        let mut select = connection.prepare_cached("SELECT sender FROM message WHERE id = ?1")?;
        let sender: String = select.query_row([message], |row| row.get(0))?;
        let mut select = connection
            .prepare_cached("SELECT recipient FROM delivery WHERE message = ?1 GROUP BY recipient ORDER BY min(id)")?;
        let recipients = select.query_map([message], |row| row.get(0))?;
        let recipients: Vec<String> = recipients.collect::<rusqlite::Result<_>>()?;
        Ok(Self::new(sender, &recipients))
    }

    /// Recipients come last: of two that fit alike, the last is taken, and events are told of recipients.
    fn new(sender: String, recipients: &[String]) -> Self {
        let numbered = recipients.iter().enumerate().map(|(index, text)| (text, format!("withheld-{}", index + 1)));
        let all = std::iter::once((&sender, "withheld".to_owned())).chain(numbered);
        let substitute = |(text, by): (&String, String)| {
            let (local_part, domain) = text.rsplit_once('@')?;
            Some(Substitute { local_part: local_part.to_owned(), domain: domain.to_owned(), by })
        };
        let addresses = all.filter_map(substitute).collect();
        Self { sender, addresses }
    }

    fn replace_in(&self, value: &mut Value) {
        each_text(value, &|text| text.contains('@').then(|| self.replace(text)));
    }

    /// The text with all local parts replaced. Only what stands before an @ is looked at: a thousand recipients in a
    /// thousand events are no burden then.
    fn replace(&self, text: &str) -> String {
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
