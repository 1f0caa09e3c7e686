//! The parameters of a search in a URL: one row per parameter, with the function that reads it.

use insight::{Search, Status, read_cursor, read_tls_version};
use node::config::hint;
use store::SubjectMatch;

use super::ROWS_MAX;

/// One parameter of `/api/v1/message-traces`.
pub(crate) struct Parameter {
    pub name: &'static str,
    /// For OpenAPI. `gatepost trace --help` has the same text.
    pub about: &'static str,
    pub form: Form,
    read: fn(&mut Search, &str) -> Result<(), String>,
}

/// Form of a value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Form {
    Text,
    /// One or more, separated by commas.
    Statuses,
    /// From 1 to [`ROWS_MAX`].
    Rows,
}

const fn text(name: &'static str, about: &'static str, read: fn(&mut Search, &str) -> Result<(), String>) -> Parameter {
    Parameter { name, about, form: Form::Text, read }
}

pub(crate) const PARAMETERS: [Parameter; 22] = [
    text("sender", "Sender's address, @domain, <> for the null sender, or a pattern with *", |search, value| {
        string(&mut search.sender, value)
    }),
    text("recipient", "Recipient's address, @domain, or a pattern with *", |search, value| {
        string(&mut search.recipient, value)
    }),
    text("message_id", "Message-ID header field, with or without angle brackets", |search, value| {
        string(&mut search.message_id, value)
    }),
    text("message", "Network message id, or its first digits, as `gatepost queue list` shows it", |search, value| {
        parsed(&mut search.message, value)
    }),
    text("subject", "Text that the subject contains", |search, value| subject(search, value, SubjectMatch::Contains)),
    text("subject_starts_with", "Text that the subject starts with", |search, value| {
        subject(search, value, SubjectMatch::StartsWith)
    }),
    text("subject_ends_with", "Text that the subject ends with", |search, value| {
        subject(search, value, SubjectMatch::EndsWith)
    }),
    Parameter {
        name: "status",
        about: "Show only messages with this current status; separate several with commas",
        form: Form::Statuses,
        read: statuses,
    },
    text(
        "since",
        "Received at or after this time: a date and time, or how long ago, such as 2h or 3d",
        |search, value| parsed(&mut search.since, value),
    ),
    text("until", "Received before this time", |search, value| parsed(&mut search.until, value)),
    text("from_ip", "IP address of the client that sent the message to the gateway", |search, value| {
        parsed(&mut search.from_ip, value)
    }),
    text("size_min", "Minimum size, such as 10MiB", |search, value| parsed(&mut search.size_min, value)),
    text("size_max", "Maximum size, such as 10MiB", |search, value| parsed(&mut search.size_max, value)),
    text("connector", "Name of the connector", |search, value| string(&mut search.connector, value)),
    text("to_ip", "Last attempt: IP address of the destination", |search, value| {
        parsed(&mut search.last_attempt.to_ip, value)
    }),
    text("node", "Last attempt: name of the node", |search, value| string(&mut search.last_attempt.node, value)),
    text("policy", "Last attempt: TLS policy", |search, value| string(&mut search.last_attempt.tls_policy, value)),
    text("tls_version", "Last attempt: TLS version, 1.0 to 1.3, or none for plaintext", |search, value| {
        once(&mut search.last_attempt.tls_version, read_tls_version(value)?)
    }),
    text("cipher", "Last attempt: cipher suite, such as RC4-SHA", |search, value| {
        string(&mut search.last_attempt.cipher, value)
    }),
    text("code", "Last attempt: reply code, such as 451, or enhanced code, such as 4.7.1", |search, value| {
        string(&mut search.last_attempt.code, value)
    }),
    Parameter { name: "limit", about: "Maximum number of rows", form: Form::Rows, read: limit },
    text("after", "Start of this page, as the previous page gives it", |search, value| {
        once(&mut search.after, read_cursor(value)?)
    }),
];

const TWICE: &str = "the parameter is there twice; give it once";

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    if place.replace(value).is_some() { Err(TWICE.to_owned()) } else { Ok(()) }
}

fn string(place: &mut Option<String>, value: &str) -> Result<(), String> {
    once(place, value.to_owned())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(place: &mut Option<T>, value: &str) -> Result<(), String> {
    once(place, value.parse().map_err(|error: T::Err| error.to_string())?)
}

fn subject(search: &mut Search, value: &str, how: fn(String) -> SubjectMatch) -> Result<(), String> {
    match search.subject.replace(how(value.to_owned())) {
        None => Ok(()),
        Some(_) => Err("a search has one condition on the subject; use only one of subject, subject_starts_with and subject_ends_with".to_owned()),
    }
}

fn statuses(search: &mut Search, value: &str) -> Result<(), String> {
    for status in value.split(',') {
        search.status.push(status.parse::<Status>()?);
    }
    Ok(())
}

fn limit(search: &mut Search, value: &str) -> Result<(), String> {
    let rows = value.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
    search.limit = rows.ok_or_else(|| format!("must be a number from 1 to {ROWS_MAX}"))?;
    Ok(())
}

/// Names of the parameters and their descriptions.
pub fn parameters() -> impl Iterator<Item = (&'static str, &'static str)> {
    PARAMETERS.iter().map(|parameter| (parameter.name, parameter.about))
}

/// Reads the query of a URL. An unknown parameter is an error, because otherwise it would be ignored silently.
pub fn read_parameters(query: &str) -> Result<Search, String> {
    let mut search = Search::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(parameter) = PARAMETERS.iter().find(|parameter| parameter.name == name) else {
            let hint = hint(&name, "parameters are", PARAMETERS.iter().map(|parameter| parameter.name));
            return Err(format!("unknown parameter \"{name}\"; {hint}"));
        };
        (parameter.read)(&mut search, &value).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_the_command_line_reads_its_arguments() {
        let read =
            read_parameters("recipient=%40onprem.test&status=pending,failed&since=2h&size_min=1KiB&limit=5").unwrap();
        assert_eq!(read.recipient.as_deref(), Some("@onprem.test"));
        assert_eq!((read.status.len(), read.limit), (2, 5));
        assert!(read.since.is_some() && read.size_min.is_some());
        // A value that looks like an option is still a value.
        assert_eq!(
            read_parameters("subject=--limit").unwrap().subject,
            Some(SubjectMatch::Contains("--limit".to_owned()))
        );
        assert_eq!(read_parameters("").unwrap().limit, 1000);
    }

    #[test]
    fn wrong_parameters_are_rejected_with_the_reason() {
        for (query, expected) in [
            ("recipent=a", "unknown parameter \"recipent\"; did you mean \"recipient\"?"),
            ("status=lost", "status: \"lost\" is not a status; use one of delivered, pending"),
            ("since=yesterday", "since: \"yesterday\" is not a time; use a form such as"),
            ("limit=0", "limit: must be a number from 1 to 5000"),
            ("limit=5001", "limit: must be a number from 1 to 5000"),
            ("sender=a&sender=b", "sender: the parameter is there twice; give it once"),
            ("subject=a&subject_ends_with=b", "use only one of subject, "),
            ("message=12", "message: \"12\" is not an id; use an id such as"),
            ("after=12", "after: \"12\" is not the start of a page; copy it from"),
            ("tls_version=9", "tls_version: \"9\" is not a TLS version; use "),
        ] {
            let error = read_parameters(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
