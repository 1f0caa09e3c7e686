//! OData's `$filter`, as Graph supports it for message traces: `eq` on addresses, ids and status, `ge` and `le` on the
//! time, three functions on the subject; joined by `and`.
//!
//! Invariant: an unsupported part is an error. Graph ignores `or`, which gives misleading answers.

use insight::{Moment, Search, Status};
use jiff::{SignedDuration, Timestamp};
use store::SubjectMatch;
use uuid::Uuid;

/// Graph searches at most 10 days at once and at most 90 days back.
const SPAN_MAX: SignedDuration = SignedDuration::from_hours(10 * 24);
const AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Fields and their operators.
const FIELDS: [(&str, &str); 9] = [
    ("fromIP", "eq"),
    ("id", "eq"),
    ("messageId", "eq"),
    ("receivedDateTime", "ge, le"),
    ("recipientAddress", "eq"),
    ("senderAddress", "eq"),
    ("status", "eq"),
    ("subject", "contains, startsWith, endsWith"),
    ("toIP", "eq"),
];

/// A parsed filter.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Filter {
    search: Search,
    ge: Option<Timestamp>,
    le: Option<Timestamp>,
}

impl Filter {
    /// The error is a text for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        if !text.trim().is_empty() {
            let mut reader = Reader { rest: text, depth: 0 };
            reader.clauses(&mut filter)?;
            reader.end()?;
        }
        Ok(filter)
    }

    pub(super) fn has_no_time(&self) -> bool {
        self.ge.is_none() && self.le.is_none()
    }

    pub(super) fn since(&mut self, since: Timestamp) {
        self.ge = Some(since);
        self.le = None;
    }

    pub(super) fn search(self, now: Timestamp) -> Result<Search, String> {
        let (Some(ge), le) = (self.ge, self.le.unwrap_or(now)) else {
            return Err("receivedDateTime needs both ge and le".to_owned());
        };
        if ge > le {
            return Err(format!("the time range is reversed: from {ge} to {le}; exchange ge and le"));
        }
        if le.duration_since(ge) > SPAN_MAX {
            return Err("receivedDateTime may span at most 10 days".to_owned());
        }
        if now.duration_since(ge) > AGE_MAX {
            return Err("receivedDateTime may begin at most 90 days ago".to_owned());
        }
        // The range of a search excludes `until`, and times have milliseconds.
        let until = le.saturating_add(SignedDuration::from_millis(1)).map_err(|error| error.to_string())?;
        Ok(Search { since: Some(Moment::At(ge)), until: Some(Moment::At(until)), ..self.search })
    }

    fn equal(&mut self, field: &str, value: &str) -> Result<(), String> {
        let search = &mut self.search;
        let ip = || value.parse().map_err(|_| format!("\"{value}\" is not an IP address"));
        match field.to_ascii_lowercase().as_str() {
            // Graph compares whole addresses; only the other API supports patterns.
            "senderaddress" => set(&mut search.sender, address(value)?, field),
            "recipientaddress" => set(&mut search.recipient, address(value)?, field),
            "messageid" => set(&mut search.message_id, value.to_owned(), field),
            "id" => {
                let id: Uuid = value.parse().map_err(|_| format!("\"{value}\" is not a network message id"))?;
                let id = id.into();
                set(&mut search.message, id, field)
            }
            "fromip" => set(&mut search.from_ip, ip()?, field),
            "toip" => set(&mut search.last_attempt.to_ip, ip()?, field),
            "status" => self.status(value),
            _ => Err(no_such(field, "eq")),
        }
    }

    fn status(&mut self, value: &str) -> Result<(), String> {
        let statuses = match value.to_ascii_lowercase().as_str() {
            // Graph has no status for messages that an operator removed.
            "failed" => vec![Status::Failed, Status::Removed],
            "delivered" => vec![Status::Delivered],
            "pending" => vec![Status::Pending],
            "quarantined" => vec![Status::Quarantined],
            "filteredasspam" => vec![Status::FilteredAsSpam],
            "expanded" => vec![Status::Expanded],
            // Messages of this gateway never have these statuses.
            "gettingstatus" | "recalled" => vec![Status::GettingStatus],
            _ => return Err(format!("\"{value}\" is not a status; use delivered, pending or failed")),
        };
        if !self.search.status.is_empty() {
            return Err(twice("status"));
        }
        self.search.status = statuses;
        Ok(())
    }

    fn time(&mut self, field: &str, operator: &str, value: &str) -> Result<(), String> {
        if !field.eq_ignore_ascii_case("receivedDateTime") {
            return Err(no_such(field, operator));
        }
        let time =
            value.parse().map_err(|_| format!("\"{value}\" is not a time; use a form such as 2026-07-30T08:00:00Z"))?;
        set(if operator == "ge" { &mut self.ge } else { &mut self.le }, time, &format!("{field} {operator}"))
    }

    fn subject(&mut self, function: &str, field: &str, text: String) -> Result<(), String> {
        if !field.eq_ignore_ascii_case("subject") {
            return Err(no_such(field, function));
        }
        let wanted = match function {
            "contains" => SubjectMatch::Contains(text),
            "startswith" => SubjectMatch::StartsWith(text),
            _ => SubjectMatch::EndsWith(text),
        };
        if !self.search.subjects.is_empty() {
            return Err(twice(field));
        }
        self.search.subjects.push(wanted);
        Ok(())
    }
}

fn set<T>(place: &mut Option<T>, value: T, field: &str) -> Result<(), String> {
    if place.is_some() {
        return Err(twice(field));
    }
    *place = Some(value);
    Ok(())
}

fn twice(field: &str) -> String {
    format!("{field} is there twice; give it once")
}

/// Every field with its operators, for people.
pub(super) fn fields() -> String {
    FIELDS.map(|(name, operators)| format!("{name} ({operators})")).join(", ")
}

fn no_such(field: &str, operator: &str) -> String {
    format!("{operator} on \"{field}\" is not supported; supported fields are {}", fields())
}

fn address(value: &str) -> Result<String, String> {
    if value.contains('*') || value.starts_with('@') {
        return Err(format!("\"{value}\" is not an address; for patterns use /api/v1/message-traces"));
    }
    Ok(value.to_owned())
}

/// Maximum depth of nested parentheses.
const DEPTH_MAX: u32 = 16;

struct Reader<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn clauses(&mut self, filter: &mut Filter) -> Result<(), String> {
        loop {
            self.clause(filter)?;
            let before = self.rest;
            match self.word().to_ascii_lowercase().as_str() {
                "and" => {}
                "or" | "not" => return Err("or and not are not supported; join clauses with and".to_owned()),
                _ => {
                    self.rest = before;
                    return Ok(());
                }
            }
        }
    }

    fn clause(&mut self, filter: &mut Filter) -> Result<(), String> {
        if self.take('(') {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err("the parentheses are nested too deeply".to_owned());
            }
            self.clauses(filter)?;
            self.depth -= 1;
            return self.expect(')');
        }
        let word = self.word();
        match word.to_ascii_lowercase().as_str() {
            "" => Err(format!("a field is missing before \"{}\"", self.rest)),
            "or" | "not" => Err("or and not are not supported; join clauses with and".to_owned()),
            function @ ("contains" | "startswith" | "endswith") => {
                self.expect('(')?;
                let field = self.word();
                self.expect(',')?;
                let text = self.literal()?;
                self.expect(')')?;
                filter.subject(function, field, text)
            }
            _ => {
                let operator = self.word().to_ascii_lowercase();
                let value = self.literal()?;
                match operator.as_str() {
                    "eq" => filter.equal(word, &value),
                    "ge" | "le" => filter.time(word, &operator, &value),
                    _ => Err(no_such(word, &operator)),
                }
            }
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, wanted: char) -> bool {
        self.space();
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("\"{wanted}\" is missing before \"{}\"", self.rest)) }
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let end = self.rest.find(|c: char| c.is_whitespace() || "(),'".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A text in single quotes, in which a quote is doubled; or a time, id or name without quotes.
    fn literal(&mut self) -> Result<String, String> {
        if !self.take('\'') {
            let word = self.word();
            return if word.is_empty() {
                Err(format!("a value is missing before \"{}\"", self.rest))
            } else {
                Ok(word.to_owned())
            };
        }
        let mut text = String::new();
        loop {
            let (piece, rest) = self.rest.split_once('\'').ok_or("a ' is missing at the end")?;
            text.push_str(piece);
            match rest.strip_prefix('\'') {
                Some(rest) => {
                    text.push('\'');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest;
                    return Ok(text);
                }
            }
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.space();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!("\"{}\" is not recognised; remove it, or join clauses with and", self.rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{State, TraceQuery};

    use super::*;

    const TIMES: &str = "receivedDateTime ge 2026-11-20T00:00:00Z and receivedDateTime le 2026-11-25T00:00:00Z";

    fn read(text: &str) -> Result<TraceQuery, String> {
        let now = "2026-11-25T12:00:00Z".parse().unwrap();
        Filter::parse(text)?.search(now)?.query(now).map_err(|error| error.to_string())
    }

    #[test]
    fn filters_of_graph_are_read() {
        let found = read(&format!("{TIMES} and senderAddress eq 'o''neil@a.test' and Status EQ 'Delivered'")).unwrap();
        assert_eq!(found.sender.as_deref(), Some("o'neil@a.test"));
        assert_eq!(found.states, Some(vec![State::Delivered]));
        assert_eq!(found.since, Some("2026-11-20T00:00:00Z".parse().unwrap()));
        assert_eq!(found.until, Some("2026-11-25T00:00:00.001Z".parse().unwrap()));
        let found = read(&format!("(startswith(subject, 'Re: (a) and ') and ({TIMES})) and toIP eq '::1'")).unwrap();
        assert_eq!(found.subjects, [SubjectMatch::StartsWith("Re: (a) and ".to_owned())]);
        assert_eq!(found.last_attempt.to_ip, Some("::1".parse().unwrap()));
        assert_eq!(read(&format!("status eq 'quarantined' and {TIMES}")).unwrap().states, Some(vec![]));
    }

    #[test]
    fn unsupported_filters_are_never_ignored() {
        for (text, expected) in [
            ("size eq 3", "eq on \"size\""),
            ("status eq 'lost'", "is not a status"),
            ("status eq 'failed' or status eq 'pending'", "or and not"),
            ("not status eq 'failed'", "or and not"),
            ("status eq 'failed' and status eq 'pending'", "twice"),
            ("senderAddress eq '*'", "is not an address"),
            ("fromIP eq 'x'", "is not an IP address"),
            ("subject eq 'a'", "eq on \"subject\""),
            ("contains(senderAddress,'a')", "contains on"),
            ("senderAddress eq 'a", "' is missing"),
            ("senderAddress eq", "a value is missing"),
            ("(status eq 'failed'", "\")\" is missing"),
            ("status eq 'failed' x", "not recognised"),
            ("eq 'failed'", "on \"eq\""),
            ("receivedDateTime ge yesterday", "is not a time"),
            ("receivedDateTime le 2026-11-20T00:00:00Z", "both"),
            ("receivedDateTime ge 2026-11-21T00:00:00Z and receivedDateTime le 2026-11-20T00:00:00Z", "reversed"),
            ("receivedDateTime ge 2026-11-01T00:00:00Z and receivedDateTime le 2026-11-20T00:00:00Z", "10 days"),
            ("receivedDateTime ge 2026-01-01T00:00:00Z and receivedDateTime le 2026-01-02T00:00:00Z", "90 days"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in "(\\PC|[('), ]|eq |and |contains|status|''){0,40}") {
            let _ = read(&text);
        }
    }
}
