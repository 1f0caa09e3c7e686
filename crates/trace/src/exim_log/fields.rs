//! The `H=… P=… X=…` part of a line of Exim's log, and the reason after it.

use std::borrow::Cow;

use crate::text::split_once;

/// TLS as Exim's `X=` tells it: `TLS1.2:ECDHE-RSA-AES256-GCM-SHA384:256`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tls<'a> {
    pub version: &'a str,
    /// In the words of Exim's TLS library, OpenSSL or GnuTLS.
    pub cipher: &'a str,
    pub bits: Option<u16>,
}

impl<'a> Tls<'a> {
    fn read(text: &'a str) -> Self {
        let (version, rest) = text.split_once(':').unwrap_or((text, ""));
        let (cipher, bits) = rest.rsplit_once(':').unwrap_or((rest, ""));
        Self { version, cipher, bits: bits.parse().ok() }
    }
}

/// What is common to lines of all kinds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    /// `H=`: the name of the remote host; in parentheses if it is only what the host said in HELO.
    pub host: Option<&'a str>,
    pub address: Option<&'a str>,
    pub port: Option<u16>,
    /// The connection had carried another message before: `H=mx.x.test [192.0.2.1]*`.
    pub is_reused: bool,
    /// `P=`
    pub protocol: Option<&'a str>,
    /// `X=`
    pub tls: Option<Tls<'a>>,
    /// `R=`
    pub router: Option<&'a str>,
    /// `T=`
    pub transport: Option<&'a str>,
    /// Of a deferral, as `defer (111)` says it; negative ones are Exim's own.
    pub errno: Option<i32>,
    /// The reason, or what the server confirmed with.
    pub text: &'a str,
}

/// One piece of a line.
pub(super) enum Field<'a> {
    /// `K=value`; its quotes are off, but what they protect is as it was.
    Value(&'a str, &'a str),
    Word(&'a str),
    /// What follows a colon: the reason.
    Reason(&'a str),
}

/// Cuts a line into its pieces.
pub(super) struct Fields<'a> {
    pub(super) rest: &'a str,
    reason_follows: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest, reason_follows: false }
    }

    /// Nothing but a reason.
    pub(super) fn reason(rest: &'a str) -> Self {
        Self { rest, reason_follows: true }
    }

    /// Takes the first `end` bytes, and a colon after them as the beginning of the reason.
    fn take(&mut self, end: usize) -> &'a str {
        let (value, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let (value, rest) = match (value.strip_suffix(':'), rest.strip_prefix(':')) {
            (Some(value), _) => (value, Some(rest)),
            (None, Some(after)) if after.starts_with(' ') || after.is_empty() => (value, Some(after)),
            (None, _) => {
                self.rest = rest;
                return value;
            }
        };
        self.reason_follows = true;
        self.rest = rest.unwrap_or_default();
        value
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        if self.reason_follows {
            return Some(Field::Reason(std::mem::take(&mut self.rest)));
        }
        let Some(key_length) = key_length(self.rest) else {
            return Some(Field::Word(self.take(word_length(self.rest))));
        };
        let (key, rest) = self.rest.split_at_checked(key_length)?;
        self.rest = rest.get(1..)?;
        let value = match (key, self.rest.as_bytes().first()) {
            ("H", _) => self.take(host_length(self.rest)),
            (_, Some(b'"')) => {
                let value = self.take(quoted_length(self.rest));
                value.strip_prefix('"').map_or(value, |inner| inner.strip_suffix('"').unwrap_or(inner))
            }
            _ => self.take(word_length(self.rest)),
        };
        Some(Field::Value(key, value))
    }
}

/// Keys are letters: `H=`, `CV=`, `id=`.
fn key_length(text: &str) -> Option<usize> {
    let length = text.bytes().take(6).position(|byte| !byte.is_ascii_alphabetic())?;
    (length > 0 && text.as_bytes().get(length) == Some(&b'=')).then_some(length)
}

fn word_length(text: &str) -> usize {
    memchr::memchr(b' ', text.as_bytes()).unwrap_or(text.len())
}

/// `name (helo) [192.0.2.1]:4711*`, of which parts may be missing.
fn host_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let Some(close) = address_start(text).and_then(|open| Some(open + memchr::memchr(b']', bytes.get(open..)?)?))
    else {
        return word_length(text);
    };
    let port = bytes.get(close + 1..).unwrap_or_default();
    let digits = port.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    let end = if port.first() == Some(&b':') && digits > 0 { close + 2 + digits } else { close + 1 };
    end + usize::from(bytes.get(end) == Some(&b'*'))
}

/// Where the bracket before the address is; what a client says of itself may be in brackets too, inside parentheses.
fn address_start(host: &str) -> Option<usize> {
    let bytes = host.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'[', bytes.get(from..)?)?;
        if at == 0 || bytes.get(at - 1) == Some(&b' ') {
            return Some(at);
        }
        from = at + 1;
    }
}

/// With both quotes; `\"` ends nothing.
pub(super) fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// `\"` is `"`.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        let escaped = (character == '\\').then(|| characters.clone().next()).flatten();
        match escaped.filter(|next| matches!(next, '"' | '\\')) {
            Some(next) => {
                plain.push(next);
                characters.next();
            }
            None => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

impl<'a> Facts<'a> {
    /// False for a field that is none of these.
    pub(super) fn take(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "H" => self.take_host(value),
            "P" => self.protocol = Some(value),
            "X" => self.tls = Some(Tls::read(value)),
            "R" => self.router = Some(value),
            "T" => self.transport = Some(value),
            _ => return false,
        }
        true
    }

    /// A system's error comes before the host that it is about: `defer (110): Connection timed out H=a [192.0.2.1]: …`.
    pub(super) fn take_host_of_reason(&mut self, reason: &'a str) {
        let Some((_, rest)) = split_once(reason, " H=").filter(|_| self.host.is_none()) else { return };
        if let Some(host) = rest.get(..host_length(rest)) {
            self.take_host(host.strip_suffix(':').unwrap_or(host));
        }
    }

    pub(super) fn take_host(&mut self, host: &'a str) {
        let Some((name, rest)) = address_start(host).and_then(|at| host.split_at_checked(at)) else {
            self.host = Some(host);
            return;
        };
        let name = name.trim_ascii_end();
        // What a client says of itself is told only where nothing better is known.
        let verified = name.split(' ').next().filter(|name| !name.starts_with('('));
        self.host = Some(verified.unwrap_or(name)).filter(|name| !name.is_empty());
        let (address, port) = rest.trim_start_matches('[').split_once(']').unwrap_or((rest, ""));
        self.address = Some(address);
        let without_star = port.strip_suffix('*');
        self.is_reused = without_star.is_some();
        let port = without_star.unwrap_or(port);
        self.port = port.strip_prefix(':').and_then(|port| port.parse().ok());
    }
}
