//! `/search?q=`: one field for everything. It leads to the page of what it is: a message, a connector, a node, a host, or a trace of
//! an address, a client or a subject.

use axum::response::{IntoResponse as _, Redirect, Response};
use insight::Id;
use protocol::host_port;
use std::net::IpAddr;
use store::{Fleet as _, History as _, Right, TraceQuery};

use crate::pages::{
    Refusal,
    asked::{Asked, link},
    shell::Visit,
};

/// Longer texts are none of these.
const TEXT_MAX: usize = 1000;
/// Mail servers listen there, unless the person says another one.
const SMTP_PORT: u16 = 25;

/// What a text looks like.
#[derive(Clone, PartialEq, Debug)]
enum Meant {
    Message(Id),
    Client(IpAddr),
    /// An address, or a Message-ID, which looks like one.
    Address(String),
    Host(String, u16),
    Text(String),
}

impl Meant {
    fn read(text: &str) -> Self {
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Self::Client(address);
        }
        // Words of hexadecimal digits only are rare in subjects, and ids are always written with digits.
        if let Some(id) = text.parse().ok().filter(|_| text.bytes().any(|byte| byte.is_ascii_digit())) {
            return Self::Message(id);
        }
        if text.contains('@') && !text.contains(char::is_whitespace) {
            return Self::Address(text.to_owned());
        }
        let (host, port) = host_port::split(text);
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.contains('.') && !host.starts_with('.') && host.chars().all(is_name) {
            return Self::Host(host.to_ascii_lowercase(), port.unwrap_or(SMTP_PORT));
        }
        Self::Text(text.to_owned())
    }
}

pub(in crate::pages) async fn lead(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let text = asked.take("q")?.unwrap_or_default();
    let text = text.trim();
    if text.len() > TEXT_MAX {
        return Err(Refusal::bad_request(format!("q: must have at most {TEXT_MAX} bytes")));
    }
    let to = if text.is_empty() { "/trace".to_owned() } else { place(&visit, text).await? };
    Ok(Redirect::to(&to).into_response())
}

/// The page that a text leads to.
async fn place(visit: &Visit, text: &str) -> Result<String, Refusal> {
    let store = &visit.node.store;
    if visit.node.config.load().connector(text).is_some() {
        return Ok(format!("/connectors/{}", segment(text)));
    }
    if store.members().await?.iter().any(|member| member.name == text) {
        return Ok(format!("/nodes/{}", segment(text)));
    }
    let trace = |field: &str, value: &str| link("/trace", [(field, value)]);
    match Meant::read(text) {
        Meant::Message(id) => {
            // Only for those who may see the page that it leads to: others would learn which ids exist.
            let found = match id.whole() {
                Some(id) => vec![id],
                None if visit.person.may(Right::Tracer) => store.ids_between(id.first, id.last, 2).await?,
                None => Vec::new(),
            };
            Ok(match found.as_slice() {
                [one] => format!("/messages/{one}"),
                _ => trace("message", text),
            })
        }
        Meant::Client(address) => Ok(trace("from_ip", &address.to_string())),
        Meant::Host(host, port) => Ok(format!("/destinations/{}", segment(&host_port::join(&host, Some(port))))),
        Meant::Address(address) if visit.person.may(Right::Tracer) => {
            let id = TraceQuery { message_id: Some(address.clone()), limit: 1, ..TraceQuery::default() };
            let from = TraceQuery { sender: Some(address.clone()), limit: 1, ..TraceQuery::default() };
            let to = TraceQuery { recipient: Some(address.clone()), limit: 1, ..TraceQuery::default() };
            for (field, query) in [("recipient", to), ("message_id", id), ("sender", from)] {
                if !store.trace(query).await?.is_empty() {
                    return Ok(trace(field, &address));
                }
            }
            Ok(trace("recipient", &address))
        }
        Meant::Address(address) => Ok(trace("recipient", &address)),
        Meant::Text(text) => Ok(trace("subject", &text)),
    }
}

/// A text as one part of a path.
fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20").replace("%3A", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_looks_like() {
        let whole = "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e";
        for (text, expected) in [
            (whole, Meant::Message(whole.parse().unwrap())),
            ("0198f3c2", Meant::Message("0198f3c2".parse().unwrap())),
            ("deadbeef", Meant::Text("deadbeef".to_owned())),
            ("192.0.2.1", Meant::Client("192.0.2.1".parse().unwrap())),
            ("[2001:db8::1]", Meant::Client("2001:db8::1".parse().unwrap())),
            ("ana@onprem.test", Meant::Address("ana@onprem.test".to_owned())),
            ("<1234@host>", Meant::Address("<1234@host>".to_owned())),
            ("Mail.onprem.test", Meant::Host("mail.onprem.test".to_owned(), 25)),
            ("mail.onprem.test:2525", Meant::Host("mail.onprem.test".to_owned(), 2525)),
            ("Invoice 12.5", Meant::Text("Invoice 12.5".to_owned())),
            ("../etc", Meant::Text("../etc".to_owned())),
            ("<script>", Meant::Text("<script>".to_owned())),
        ] {
            assert_eq!(Meant::read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        for (name, expected) in [("a b/c", "a%20b%2Fc"), ("mx.test:25", "mx.test:25"), ("ü?", "%C3%BC%3F")] {
            assert_eq!(segment(name), expected);
        }
    }
}
