//! The parameters of a search: one row per parameter, with the function that reads it.

use insight::{Search, Status, read_cursor, read_tls_version};
use store::SubjectMatch;

use super::{
    cursor::AFTER,
    form::Form,
    listing::limit_of,
    problem::Fault,
    query::{Parameter, Query},
};

/// One parameter of `/api/v1/message-traces`.
struct Condition {
    parameter: Parameter,
    read: fn(&mut Search, &str) -> Result<(), String>,
}

const fn condition(
    name: &'static str,
    about: &'static str,
    form: Form,
    read: fn(&mut Search, &str) -> Result<(), String>,
) -> Condition {
    Condition { parameter: Parameter::new(name, about, form), read }
}

/// Longest name, text of a subject, or id.
const TEXT: Form = Form::Text(500);
const STATUSES: Form = Form::Names(|| Status::ALL.map(Status::lower_case_name).to_vec());
const TLS_VERSIONS: Form = Form::Name(|| vec!["1.0", "1.1", "1.2", "1.3", "none"]);

// `gatepost trace --help` has the same texts.
const CONDITIONS: [Condition; 22] = [
    condition(
        "sender",
        "Sender's address, @domain, <> for the null sender, or a pattern with *",
        Form::Address,
        |search, value| string(&mut search.sender, value),
    ),
    condition("recipient", "Recipient's address, @domain, or a pattern with *", Form::Address, |search, value| {
        string(&mut search.recipient, value)
    }),
    condition("message_id", "Message-ID header field, with or without angle brackets", TEXT, |search, value| {
        string(&mut search.message_id, value)
    }),
    condition("message", "Network message id", Form::Id, |search, value| parsed(&mut search.message, value)),
    condition("subject", "Text that the subject contains", TEXT, |search, value| {
        search.subjects.push(SubjectMatch::Contains(value.to_owned()));
        Ok(())
    }),
    condition("subject_starts_with", "Text that the subject starts with", TEXT, |search, value| {
        search.subjects.push(SubjectMatch::StartsWith(value.to_owned()));
        Ok(())
    }),
    condition("subject_ends_with", "Text that the subject ends with", TEXT, |search, value| {
        search.subjects.push(SubjectMatch::EndsWith(value.to_owned()));
        Ok(())
    }),
    condition(
        "status",
        "Show only messages with this current status; separate several with commas",
        STATUSES,
        |search, value| {
            for status in value.split(',') {
                search.status.push(status.parse::<Status>()?);
            }
            Ok(())
        },
    ),
    condition(
        "since",
        "Received at or after this time: a date and time, or how long ago, such as 2h or 3d",
        Form::Moment,
        |search, value| parsed(&mut search.since, value),
    ),
    condition("until", "Received before this time", Form::Moment, |search, value| parsed(&mut search.until, value)),
    condition("from_ip", "IP address of the client that sent the message to the gateway", Form::Ip, |search, value| {
        parsed(&mut search.from_ip, value)
    }),
    condition("size_min", "Minimum size, such as 10MiB", Form::Size, |search, value| {
        parsed(&mut search.size_min, value)
    }),
    condition("size_max", "Maximum size, such as 10MiB", Form::Size, |search, value| {
        parsed(&mut search.size_max, value)
    }),
    condition("connector", "Name of the connector", TEXT, |search, value| string(&mut search.connector, value)),
    condition("to_ip", "Last attempt: IP address of the destination", Form::Ip, |search, value| {
        parsed(&mut search.last_attempt.to_ip, value)
    }),
    condition("node", "Last attempt: name of the node", TEXT, |search, value| {
        string(&mut search.last_attempt.node, value)
    }),
    condition("policy", "Last attempt: TLS policy", TEXT, |search, value| {
        string(&mut search.last_attempt.tls_policy, value)
    }),
    condition(
        "tls_version",
        "Last attempt: TLS version, 1.0 to 1.3, or none for plaintext",
        TLS_VERSIONS,
        |search, value| {
            search.last_attempt.tls_version = Some(read_tls_version(value)?);
            Ok(())
        },
    ),
    condition("cipher", "Last attempt: cipher suite, such as RC4-SHA", TEXT, |search, value| {
        string(&mut search.last_attempt.cipher, value)
    }),
    condition(
        "code",
        "Last attempt: reply code, such as 451, or enhanced code, such as 4.7.1",
        TEXT,
        |search, value| string(&mut search.last_attempt.code, value),
    ),
    Condition {
        parameter: limit_of("Maximum number of rows"),
        read: |search, value| {
            search.limit = value.parse().map_err(|_| format!("\"{value}\" is not a number"))?;
            Ok(())
        },
    },
    // The cursors of the API are read with the search that they belong to.
    condition("after", "Start of this page, as the previous page gives it", AFTER.form, |search, value| {
        search.after = Some(read_cursor(value)?);
        Ok(())
    }),
];

/// The same without the functions, for OpenAPI and for the reader.
pub(crate) const SEARCH: [Parameter; CONDITIONS.len()] = {
    let mut all = [AFTER; CONDITIONS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = CONDITIONS[index].parameter;
        index += 1;
    }
    all
};

fn string(place: &mut Option<String>, value: &str) -> Result<(), String> {
    *place = Some(value.to_owned());
    Ok(())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(place: &mut Option<T>, value: &str) -> Result<(), String> {
    *place = Some(value.parse().map_err(|error: T::Err| error.to_string())?);
    Ok(())
}

/// Names of the parameters and their descriptions.
pub fn parameters() -> impl Iterator<Item = (&'static str, &'static str)> {
    SEARCH.iter().map(|parameter| (parameter.name, parameter.about))
}

/// The search, without the start of its page.
pub(super) fn search(query: &Query) -> Result<Search, Fault> {
    read(query, |name| name != AFTER.name)
}

fn read(query: &Query, is_meant: impl Fn(&str) -> bool) -> Result<Search, Fault> {
    let mut search = Search::default();
    for Condition { parameter, read } in CONDITIONS.iter().filter(|condition| is_meant(condition.parameter.name)) {
        if let Some(value) = query.text(parameter.name) {
            read(&mut search, value).map_err(|error| Fault::new(parameter.name, error))?;
        }
    }
    Ok(search)
}

/// Reads the query of a URL that a person may have typed: values are read as the command line reads them.
pub fn read_parameters(query: &str) -> Result<Search, String> {
    let faults = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
    let query = Query::named(form_urlencoded::parse(query.as_bytes()), &SEARCH).map_err(faults)?;
    read(&query, |_| true).map_err(|fault| fault.to_string())
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
            read_parameters("subject=--limit&subject_ends_with=t").unwrap().subjects,
            [SubjectMatch::Contains("--limit".to_owned()), SubjectMatch::EndsWith("t".to_owned())]
        );
        assert_eq!(read_parameters("").unwrap().limit, 1000);
    }

    #[test]
    fn wrong_parameters_are_rejected_with_the_reason() {
        for (query, expected) in [
            ("recipent=a", "recipent: unknown parameter; did you mean \"recipient\"?"),
            ("status=lost", "status: \"lost\" is not a status; use one of delivered, pending"),
            ("since=yesterday", "since: \"yesterday\" is not a time; use a form such as"),
            ("sender=a&sender=b", "sender: the parameter is there twice; give it once"),
            ("message=12", "message: \"12\" is not an id; use an id such as"),
            ("after=12", "after: \"12\" is not the start of a page; copy it from"),
            ("tls_version=9", "tls_version: \"9\" is not a TLS version; use "),
            ("limit=x", "limit: \"x\" is not a number"),
        ] {
            let error = read_parameters(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }

    /// What OpenAPI says is also what a search can mean.
    #[test]
    fn the_api_takes_one_form_of_each_value() {
        for (query, expected) in [
            ("limit=0", "limit: must be a number from 1 to 5000"),
            ("limit=5001", "limit: must be a number from 1 to 5000"),
            ("since=2026-07-30", "since: \"2026-07-30\" is not a time in UTC from 1970 to 2099"),
            ("since=0000-01-01T00:00:00Z", "since: "),
            ("until=9999-12-31T23:59:59Z", "until: "),
            ("until=2026-07-30T12:00:00%2B02:00", "until: "),
            ("message=0198f3c2", "message: \"0198f3c2\" is not an id; use a whole one"),
            ("sender=*", "sender: \"*\" is not an address: it matches every message"),
            ("status=Pending", "status: must be one of "),
        ] {
            let faults = Query::read(Some(query), &SEARCH).unwrap_err();
            assert!(faults[0].to_string().starts_with(expected), "{query}: {faults:?}");
        }
    }
}
