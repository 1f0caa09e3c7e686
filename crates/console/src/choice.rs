//! The deliveries that a URL or a form means: the conditions of `gatepost queue list`, and rows that were ticked.

use std::str::FromStr;

use insight::{Choice, state_name};
use node::config::hint;
use store::{DeliveryKey, State};

/// Maximum length of a value, in bytes. No address is longer, and no cause.
const VALUE_MAX: usize = 1000;

/// Queue states that can be asked for.
pub(crate) const STATES: [State; 3] = [State::Queued, State::Leased, State::Suspended];

/// The fields that name deliveries. `message` and `delivery` may be repeated.
pub(crate) const FIELDS: [&str; 10] = [
    "connector",
    "recipient",
    "sender",
    "state",
    "cause",
    "destination",
    "older_than",
    "younger_than",
    "message",
    "delivery",
];

/// Reads the fields that name deliveries. An empty value is none, because forms send all their fields.
pub(crate) fn read<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Choice, String> {
    let mut choice = Choice::default();
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        if value.len() > VALUE_MAX {
            return Err(format!("{name}: must have at most {VALUE_MAX} bytes"));
        }
        let Choice { selection, conditions, messages, deliveries } = &mut choice;
        match name {
            "connector" => once(name, &mut selection.connector, value.to_owned())?,
            "recipient" => once(name, &mut selection.recipient, value.to_owned())?,
            "sender" => once(name, &mut selection.sender, value.to_owned())?,
            "state" => once(name, &mut selection.state, state(value)?)?,
            "cause" => once(name, &mut conditions.cause, value.to_owned())?,
            "destination" => once(name, &mut conditions.destination, value.to_owned())?,
            "older_than" => once(name, &mut conditions.older_than, parsed(name, value)?)?,
            "younger_than" => once(name, &mut conditions.younger_than, parsed(name, value)?)?,
            "message" => {
                messages.push(value.parse().map_err(|_| {
                    "message: must be a whole id such as 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e".to_owned()
                })?)
            }
            "delivery" => deliveries.push(DeliveryKey(parsed(name, value)?)),
            _ => {
                let hint = hint(name, "parameters are", FIELDS.into_iter());
                return Err(format!("unknown parameter \"{name}\"; {hint}"));
            }
        }
    }
    Ok(choice)
}

/// The same as fields.
pub(crate) fn fields(choice: &Choice) -> Vec<(&'static str, String)> {
    let Choice { selection, conditions, messages, deliveries } = choice;
    let one = [
        ("connector", selection.connector.clone()),
        ("recipient", selection.recipient.clone()),
        ("sender", selection.sender.clone()),
        ("state", selection.state.map(|state| state_name(state).to_owned())),
        ("cause", conditions.cause.clone()),
        ("destination", conditions.destination.clone()),
        ("older_than", conditions.older_than.map(|age| age.to_string())),
        ("younger_than", conditions.younger_than.map(|age| age.to_string())),
    ];
    let one = one.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let messages = messages.iter().map(|id| ("message", id.to_string()));
    one.chain(messages).chain(deliveries.iter().map(|key| ("delivery", key.0.to_string()))).collect()
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name}: the parameter is there twice; give it once")),
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error| format!("{name}: {error}"))
}

fn state(value: &str) -> Result<State, String> {
    let found = STATES.into_iter().find(|state| state_name(*state) == value);
    found.ok_or_else(|| format!("state: must be one of {}", STATES.map(state_name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_query(query: &str) -> Result<Choice, String> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let id = "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e";
        let text = format!(
            "connector=onprem&recipient=%40onprem.test&sender=%3C%3E&state=suspended&cause=rcpt-451&destination=mx%3A25\
             &older_than=5m&younger_than=1h&message={id}&message={id}&delivery=7&delivery=8"
        );
        let choice = read_query(&text).unwrap();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields(&choice));
        assert_eq!(query.finish(), text);
        assert!(read_query("connector=&state=&message=").unwrap().is_everything());
    }

    #[test]
    fn wrong_fields_are_named() {
        let long = format!("recipient={}", "x".repeat(1001));
        for (query, expected) in [
            ("connecter=a", "unknown parameter \"connecter\"; did you mean \"connector\"?"),
            ("connector=a&connector=b", "connector: the parameter is there twice"),
            ("state=delivered", "state: must be one of queued, leased, suspended"),
            ("older_than=yesterday", "older_than: \"yesterday\" is not a duration"),
            ("younger_than=9999999d", "younger_than: a duration must be at most"),
            ("message=1", "message: must be a whole id"),
            ("delivery=1e9", "delivery: invalid digit"),
            (&long, "recipient: must have at most 1000 bytes"),
        ] {
            let error = read_query(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
