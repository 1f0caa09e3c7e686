//! SMTP commands as a client sends them (RFC 5321 section 4.1, RFC 1870, 3030, 3207, 3461, 6152, 6531).

use super::{
    Address, BodyType, EnhancedCode, Envelope, Notify, Reply, ReversePath,
    dsn::{ENVID_BYTES_MAX, ORCPT_BYTES_MAX, is_orcpt, is_xtext, parse_notify, parse_ret},
};
use crate::text::steers;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    Ehlo(String),
    Helo(String),
    Mail(Box<Mail>),
    Rcpt(Box<Rcpt>),
    Data,
    /// Size of the chunk in bytes, and whether it is the last.
    Bdat(u64, bool),
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    pub envelope: Envelope,
    pub size_bytes: Option<u64>,
    /// HELO does not allow any.
    pub has_parameters: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rcpt {
    pub to: ForwardPath,
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 section 4.5.1).
    Postmaster,
    Address(Address),
}

/// A refusal: the reply that the client gets.
pub(super) fn refuse(code: u16, subject: u16, detail: u16, text: impl Into<String>) -> Reply {
    Reply::new(code, Some(EnhancedCode::new((code / 100) as u8, subject, detail)), text)
}

fn syntax(text: &str) -> Reply {
    refuse(501, 5, 4, text)
}

/// Reads one command line without its CRLF; the error is the reply to it.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| refuse(501, 5, 2, "A command has octets that are not UTF-8"))?;
    // Arguments go into header fields, logs and the history, and this is the one place where all of them come in.
    if line.chars().any(|c| c != '\t' && steers(c)) {
        return Err(refuse(501, 5, 2, "A command has a control character in it"));
    }
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let rest = rest.trim();
    let alone = |command: Command| {
        if rest.is_empty() { Ok(command) } else { Err(syntax(&format!("{} takes no argument", verb.to_uppercase()))) }
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(rest).map(Command::Ehlo),
        "HELO" => hello(rest).map(Command::Helo),
        "MAIL" => mail(path_argument(rest, "FROM", "MAIL")?).map(|mail| Command::Mail(Box::new(mail))),
        "RCPT" => rcpt(path_argument(rest, "TO", "RCPT")?).map(|rcpt| Command::Rcpt(Box::new(rcpt))),
        "DATA" => alone(Command::Data),
        "BDAT" => bdat(rest),
        "RSET" => alone(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::StartTls),
        _ => Err(refuse(500, 5, 2, "Command not recognized")),
    }
}

/// Lenient on what a host name may look like, as other servers are, but it must be one word of text.
fn hello(argument: &str) -> Result<String, Reply> {
    let name = argument.split_whitespace().next().unwrap_or_default();
    if name.is_empty() || name.len() > 255 {
        return Err(syntax("EHLO and HELO need the client's host name"));
    }
    // The name goes into Received fields, where brackets and semicolons would mean something. A host name outside ASCII
    // is sent as A-labels (RFC 6531 section 3.7.1).
    if !name.is_ascii() || name.chars().any(|c| "()<>;\"\\,".contains(c)) {
        return Err(syntax("The argument is not a host name"));
    }
    Ok(name.to_owned())
}

fn path_argument<'a>(rest: &'a str, keyword: &str, verb: &str) -> Result<&'a str, Reply> {
    let fault = || syntax(&format!("The syntax is {verb} {keyword}:<address>"));
    let (word, path) = rest.split_once(':').ok_or_else(fault)?;
    if word.trim().eq_ignore_ascii_case(keyword) { Ok(path.trim_start()) } else { Err(fault()) }
}

/// Parts `<path>` from the parameters behind it. A `>` within quotes does not end the path.
fn split_path(text: &str) -> Result<(&str, &str), Reply> {
    let fault = || syntax("The address must stand in angle brackets");
    let inner = text.strip_prefix('<').ok_or_else(fault)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let parameters = &inner[at + 1..];
                if !parameters.is_empty() && !parameters.starts_with(' ') {
                    return Err(fault());
                }
                return Ok((strip_source_route(&inner[..at]), parameters));
            }
            _ => {}
        }
    }
    Err(fault())
}

/// `@a,@b:user@c` is to be read as `user@c` (RFC 5321 appendix C).
fn strip_source_route(path: &str) -> &str {
    match path.split_once(':') {
        Some((route, mailbox)) if path.starts_with('@') && !route.contains('"') => mailbox,
        _ => path,
    }
}

fn address(path: &str) -> Result<Address, Reply> {
    Address::parse(path).map_err(|error| refuse(501, 1, 3, format!("Bad address syntax: {error}")))
}

fn mail(argument: &str) -> Result<Mail, Reply> {
    let (path, parameters) = split_path(argument)?;
    let sender = if path.is_empty() { ReversePath::Null } else { ReversePath::Address(address(path)?) };
    let parameters = parse_parameters(parameters)?;
    let has_parameters = !parameters.is_empty();
    let (mut envelope, mut size_bytes) = (Envelope::from(sender), None);
    for (name, value) in parameters {
        match (name.as_str(), value) {
            ("SIZE", Some(value)) => size_bytes = Some(number(value)?),
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => envelope.body_type = BodyType::SevenBit,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => {
                envelope.body_type = BodyType::EightBitMime;
            }
            ("BODY", _) => return Err(refuse(555, 6, 1, "BODY is 7BIT or 8BITMIME")),
            ("SMTPUTF8", None) => envelope.smtputf8 = true,
            ("RET", Some(value)) => {
                envelope.ret = Some(parse_ret(value).ok_or_else(|| syntax("RET is FULL or HDRS"))?);
            }
            ("ENVID", Some(value)) if !value.is_empty() && value.len() <= ENVID_BYTES_MAX && is_xtext(value) => {
                envelope.envid = Some(value.to_owned());
            }
            ("ENVID", _) => return Err(syntax("ENVID is xtext of at most 100 octets")),
            _ => return Err(unknown_parameter("MAIL", &name)),
        }
    }
    Ok(Mail { envelope, size_bytes, has_parameters })
}

fn rcpt(argument: &str) -> Result<Rcpt, Reply> {
    let (path, parameters) = split_path(argument)?;
    let to = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Address(address(path)?)
    };
    let mut rcpt = Rcpt { to, notify: None, orcpt: None };
    for (name, value) in parse_parameters(parameters)? {
        match (name.as_str(), value) {
            ("NOTIFY", Some(value)) => {
                let notify = parse_notify(value);
                rcpt.notify = Some(notify.ok_or_else(|| syntax("NOTIFY is NEVER, or of SUCCESS,FAILURE,DELAY"))?);
            }
            ("ORCPT", Some(value)) if value.len() <= ORCPT_BYTES_MAX && is_orcpt(value) => {
                rcpt.orcpt = Some(value.to_owned());
            }
            ("ORCPT", _) => return Err(syntax("ORCPT is addr-type;xtext of at most 500 octets")),
            _ => return Err(unknown_parameter("RCPT", &name)),
        }
    }
    Ok(rcpt)
}

fn unknown_parameter(verb: &str, name: &str) -> Reply {
    refuse(555, 5, 4, format!("{verb} parameter {name} is not recognized"))
}

type Parameter<'a> = (String, Option<&'a str>);

/// `KEYWORD` or `KEYWORD=value`, each at most once.
fn parse_parameters(text: &str) -> Result<Vec<Parameter<'_>>, Reply> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || name.is_empty() {
            return Err(syntax("A parameter is KEYWORD or KEYWORD=value"));
        }
        let name = name.to_ascii_uppercase();
        if parameters.iter().any(|(other, _)| *other == name) {
            return Err(syntax(&format!("{name} is given twice")));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

fn number(text: &str) -> Result<u64, Reply> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| syntax("The size is not a number"))
}

fn bdat(argument: &str) -> Result<Command, Reply> {
    let mut words = argument.split_ascii_whitespace();
    let size = number(words.next().unwrap_or_default())?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(syntax("The syntax is BDAT size [LAST]")),
    };
    if words.next().is_some() { Err(syntax("The syntax is BDAT size [LAST]")) } else { Ok(Command::Bdat(size, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let ok = |line: &str| parse(line.as_bytes()).unwrap_or_else(|reply| panic!("{line}: {reply}"));
        assert_eq!(ok("ehlo mx.test"), Command::Ehlo("mx.test".into()));
        assert_eq!(ok("BDAT 10 last"), Command::Bdat(10, true));
        let Command::Mail(mail) = ok("MAIL FROM:<a@b> SIZE=10 body=8bitmime RET=HDRS ENVID=x+3D") else { panic!() };
        assert_eq!((mail.size_bytes, mail.envelope.body_type), (Some(10), BodyType::EightBitMime));
        let Command::Mail(mail) = ok("mail from: <>") else { panic!() };
        assert_eq!(mail.envelope.sender, ReversePath::Null);
        for (line, address) in [
            ("RCPT TO:<a@b.test>", "a@b.test"),
            ("RCPT TO:<@x,@y:a@b.test>", "a@b.test"),
            ("RCPT TO:<\"a>b\"@c.test>", "\"a>b\"@c.test"),
        ] {
            let Command::Rcpt(rcpt) = ok(line) else { panic!("{line}") };
            assert_eq!(rcpt.to, ForwardPath::Address(Address::parse(address).unwrap()), "{line}");
        }
    }

    #[test]
    fn refusals() {
        for (line, code) in [
            ("", 500),
            ("FOO", 500),
            ("EHLO", 501),
            ("EHLO a(b)", 501),
            ("EHLO m\u{fc}ller.test", 501),
            ("EHLO a\u{202e}b", 501),
            ("MAIL FROM:<a\u{9b}31m@b>", 501),
            ("NOOP \u{2066}", 501),
            ("MAIL", 501),
            ("MAIL FROM:a@b", 501),
            ("MAIL FROM:<a@b>SIZE=1", 501),
            ("MAIL FROM:<a@b> SIZE=-1", 501),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=2", 501),
            ("MAIL FROM:<a@b> AUTH=<>", 555),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 555),
            ("MAIL FROM:<a@b", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a>", 501),
            ("RCPT TO:<a@b> NOTIFY=NEVER,DELAY", 501),
            ("DATA now", 501),
            ("BDAT", 501),
            ("BDAT +5", 501),
            ("BDAT 99999999999999999999999", 501),
            ("STARTTLS x", 501),
            ("NOOP \0", 501),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap_err().code, code, "{line:?}");
        }
        assert_eq!(parse(b"MAIL FROM:<\xff@b>").unwrap_err().code, 501);
    }
}
