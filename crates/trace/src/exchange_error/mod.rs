//! Reads errors as Exchange words them: the container that a trace holds them in, and the chain of causes inside.
//!
//! ```text
//!   [{LED=450 4.4.317 … -> 451 4.4.0 …};{MSG=};{FQDN=mail.x};{IP=192.0.2.1};{LRT=…}]. OutboundProxyTargetIP: …
//!     └──Container::read──> fields, cut or not        └──links──> a Link for each cause, outermost first
//! ```
//!
//! Systems that pass texts on cut them anywhere: the rest is read.

mod chain;

pub use chain::{Detail, Link, links};

/// A container's fields; `None` where it does not have one, or was cut before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Container<'a> {
    /// `LED`: the last error.
    pub last_error: Option<&'a str>,
    /// `MSG`
    pub message: Option<&'a str>,
    /// `FQDN`: the host that it is about.
    pub host: Option<&'a str>,
    /// `IP`
    pub address: Option<&'a str>,
    /// `LRT`: when it was last tried; in the format of whatever server wrote it.
    pub last_retry: Option<&'a str>,
    /// Behind the container, in Exchange Online.
    pub proxy_address: Option<&'a str>,
    pub proxy_host: Option<&'a str>,
    /// It does not end as it should.
    pub cut: bool,
}

/// Between two fields, whose keys are upper-case letters.
const SEPARATOR: &str = "};{";
const KEY_LENGTH_MAX: usize = 8;
const PROXY_ADDRESS: &str = "OutboundProxyTargetIP: ";
const PROXY_HOST: &str = "OutboundProxyTargetHostName: ";

impl<'a> Container<'a> {
    /// Finds the container in a text; `None` where there is none.
    pub fn read(text: &'a str) -> Option<Self> {
        let (mut key, mut rest) = text.match_indices('{').find_map(|(at, _)| split_key(&text[at..]))?;
        let mut container = Self::default();
        while let Some((at, next)) = next_field(rest) {
            container.set(key, &rest[..at]);
            (key, rest) = next;
        }
        let (value, behind) = last_value(rest);
        container.cut = behind.is_none();
        container.set(key, value);
        container.read_behind(behind.unwrap_or_default());
        Some(container)
    }

    fn set(&mut self, key: &str, value: &'a str) {
        let field = match key {
            "LED" => &mut self.last_error,
            "MSG" => &mut self.message,
            "FQDN" => &mut self.host,
            "IP" => &mut self.address,
            "LRT" => &mut self.last_retry,
            _ => return,
        };
        *field = field.or(Some(value));
    }

    /// `. OutboundProxyTargetIP: 192.0.2.1. OutboundProxyTargetHostName: mail.x`
    fn read_behind(&mut self, text: &'a str) {
        let after = |key: &str| text.find(key).and_then(|at| text.get(at + key.len()..));
        let address = |rest: &'a str| rest.split([' ', ';']).next().map(|word| word.trim_end_matches('.'));
        self.proxy_address = after(PROXY_ADDRESS).and_then(address).filter(|address| !address.is_empty());
        self.proxy_host = after(PROXY_HOST).and_then(address).filter(|host| !host.is_empty());
    }

    /// The chain of causes of the last error.
    pub fn links(&self) -> Vec<Link<'a>> {
        self.last_error.map(links).unwrap_or_default()
    }
}

/// `{LED=rest` is `LED` and `rest`; of keys nobody knows, too, as there may be more of them one day.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('{')?;
    let length = text.bytes().take(KEY_LENGTH_MAX + 1).position(|byte| !byte.is_ascii_uppercase())?;
    let (key, rest) = text.split_at_checked(length)?;
    Some((key, rest.strip_prefix('=')?)).filter(|_| length > 0)
}

/// Where the value ends, and the next key with what follows it. A value may hold whatever ends one, but no key.
fn next_field(text: &str) -> Option<(usize, (&str, &str))> {
    text.match_indices(SEPARATOR).find_map(|(at, _)| Some((at, split_key(&text[at + SEPARATOR.len() - 1..])?)))
}

/// The last field's value, and what stands behind the container; `None` where that has no end.
fn last_value(text: &str) -> (&str, Option<&str>) {
    if let Some((value, behind)) = text.split_once("}]") {
        return (value, Some(behind));
    }
    // The beginning of an end is not part of the value.
    let end = text.rfind('}').filter(|at| is_beginning_of_field(&text[*at..]));
    (end.map_or(text, |end| &text[..end]), None)
}

/// `}`, `};`, `};{`, `};{LR`
fn is_beginning_of_field(text: &str) -> bool {
    match text.strip_prefix(SEPARATOR) {
        Some(key) => key.len() <= KEY_LENGTH_MAX && key.bytes().all(|byte| byte.is_ascii_uppercase()),
        None => SEPARATOR.starts_with(text),
    }
}
