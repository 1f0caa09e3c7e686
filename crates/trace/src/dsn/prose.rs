//! Bounces for people: what Exchange 5.5 to 2003, Exchange Online, Exim, Postfix and qmail write where no fields are.

use jiff::{fmt::rfc2822, tz::TimeZone};
use protocol::smtp::EnhancedCode;

use super::{Action, Dsn, Recipient, Typed, pasted::is_reply};
use crate::{culture_time::CultureTimes, letter::Server};

/// Lines that come before what is of interest.
const EXCHANGE_LISTS: [&str; 2] =
    ["did not reach the following recipient(s):", "The following recipient(s) could not be reached:"];
/// A bounce has a few; a longer list is not read.
const RECIPIENTS_MAX: usize = 1000;

/// The recipients who did not get it, and the server that says so, by the text.
pub(super) fn read(text: &str) -> Dsn {
    let readers: [fn(&str) -> Vec<Recipient>; 7] =
        [exchange_online, exchange_2010, exchange_2003, qmail, postfix, exim, any_reply];
    let mut recipients = readers.iter().map(|read| read(text)).find(|found| !found.is_empty()).unwrap_or_default();
    recipients.truncate(RECIPIENTS_MAX);
    let reporting_mta = after(text, "Generating server:").or_else(|| after(text, "qmail-send program at"));
    Dsn { recipients, reporting_mta: reporting_mta.and_then(host), from_prose: true, ..Dsn::default() }
}

/// The rest of the line behind some words.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    Some(rest.lines().next()?.trim())
}

/// The host at the beginning of a text; `None` where it is not a name.
fn host(text: &str) -> Option<Typed> {
    let name = text.split([' ', '(', '<']).next()?.trim_end_matches(['.', ':']);
    let name = Server::read(name).host;
    (name.contains('.')).then(|| Typed { kind: "dns".to_owned(), text: name.to_owned() })
}

fn failed(address: &str, said: &str) -> Recipient {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let reply = said.starts_with(['4', '5']).then(|| said.split_once(' ')).flatten();
    let code = |text: &str| EnhancedCode::parse_prefix(text).map(|(code, _)| code);
    Recipient {
        final_recipient: Some(Typed { kind: "rfc822".to_owned(), text: address.to_owned() }),
        action: Some(Action::Failed),
        status: reply.and_then(|(_, rest)| code(rest)),
        diagnostic_code: (!said.is_empty())
            .then(|| Typed { kind: if reply.is_some() { "smtp" } else { "" }.to_owned(), text: said.clone() }),
        ..Recipient::default()
    }
}

/// An address and, on the next lines, `Remote Server returned '550 …'`, or `TIME - Server at HOST (IP) returned '…'`, the
/// last attempt first.
fn exchange_online(text: &str) -> Vec<Recipient> {
    const RETURNED: &str = "returned '";
    let mut found: Vec<Recipient> = Vec::new();
    let mut times = CultureTimes::new(TimeZone::UTC);
    for (at, _) in text.match_indices(RETURNED).take(RECIPIENTS_MAX) {
        let mut lines = text[..at].rsplit('\n').map(str::trim);
        let begin = lines.next().unwrap_or_default();
        let before = lines.find(|line| !line.is_empty());
        let address = before.map(|line| line.split(['<', ' ']).next().unwrap_or_default());
        let said = text[at + RETURNED.len()..].split("'\n").next().unwrap_or_default();
        let said = said.split("'\r\n").next().unwrap_or_default().trim_end().trim_end_matches('\'');
        // Only the first is the outcome; others are what was said on the way there.
        if let Some(address) = address.filter(|address| is_address(address))
            && !found.iter().any(|known| known.final_recipient.as_ref().is_some_and(|known| known.text == address))
        {
            let mut recipient = failed(address, said);
            recipient.remote_mta = after(begin, "Server at ").and_then(host);
            let tried_at = begin.split_once(" - ").and_then(|(time, _)| times.read(time));
            recipient.last_attempt_date =
                tried_at.and_then(|at| rfc2822::DateTimePrinter::new().timestamp_to_string(&at).ok());
            found.push(recipient);
        }
    }
    found
}

/// `<a@x.test>:` and, on the next lines up to an empty one, why.
fn qmail(text: &str) -> Vec<Recipient> {
    if !text.contains("qmail-send program") {
        return Vec::new();
    }
    let text = text.replace("\r\n", "\n");
    // The returned mail may have anything in it.
    let text = text.split("\n--- Below this line").next().unwrap_or_default();
    let paragraphs = text.split("\n\n").filter_map(|paragraph| paragraph.trim().strip_prefix('<')?.split_once(">:\n"));
    let known = paragraphs.filter(|(address, _)| is_address(address));
    known
        .map(|(address, said)| {
            let reply = said.split_once("Remote host said: ").map_or(said, |(_, reply)| reply);
            let mut recipient = failed(address, reply);
            // qmail names a server by its address.
            recipient.remote_mta = said.split_whitespace().find_map(|word| {
                let address = word.trim_end_matches(['.', ',']);
                address.parse::<std::net::IpAddr>().ok()?;
                Some(Typed { kind: "dns".to_owned(), text: address.to_owned() })
            });
            recipient
        })
        .collect()
}

/// An address and, on the next line, `mx.x.test #550 5.1.1 User unknown ##`, or `#< #5.1.1 smtp;550 …> #SMTP#`.
fn exchange_2010(text: &str) -> Vec<Recipient> {
    let mut found: Vec<Recipient> = Vec::new();
    let mut before = "";
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let address = std::mem::replace(&mut before, line);
        let Some((server, said)) = line.split_once('#').filter(|_| line.ends_with('#') && is_address(address)) else {
            continue;
        };
        let said = said.trim_end_matches("#SMTP#").trim_matches(['#', ' ', '<', '>']);
        let said = said.split_once("smtp;").map_or(said, |(_, reply)| reply.trim());
        found.push(Recipient { remote_mta: host(server.trim()), ..failed(address, said) });
    }
    found
}

/// `a@x.test on Thu, 29 Apr 2010 …`, and indented below it why.
fn exchange_2003(text: &str) -> Vec<Recipient> {
    let list = EXCHANGE_LISTS.iter().find_map(|heading| text.split_once(heading)).map(|(_, list)| list);
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in list.unwrap_or_default().lines() {
        let address =
            line.trim_start().split_once(" on ").map(|(address, _)| address).filter(|address| is_address(address));
        match (address, found.last_mut()) {
            (Some(address), _) => found.push((address, String::new())),
            (None, Some((_, said))) => said.extend([" ", line.trim()]),
            (None, None) => {}
        }
    }
    found.iter().map(|(address, said)| failed(address, said)).collect()
}

/// `<a@x.test>: host mail.x.test[192.0.2.1] said: 550 …`, folded.
fn postfix(text: &str) -> Vec<Recipient> {
    let mut found = Vec::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n") {
        let Some((address, said)) = paragraph.trim().strip_prefix('<').and_then(|text| text.split_once(">: ")) else {
            continue;
        };
        if is_address(address) {
            let reply = said.split_once(" said: ").map_or(said, |(_, reply)| reply);
            found.push(failed(address, reply));
        }
    }
    found
}

/// An indented address and, further indented below it, why: `SMTP error from remote mail server after RCPT TO:<…>: 550 …`,
/// `Delay reason: …`.
fn exim(text: &str) -> Vec<Recipient> {
    if !text.contains("created automatically by mail delivery software") {
        return Vec::new();
    }
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut is_below = false;
    for line in text.lines() {
        let said = line.trim();
        if line.starts_with("  ") && is_address(said) && found.len() < RECIPIENTS_MAX {
            found.push((said, String::new()));
            is_below = true;
        } else if let (true, true, Some((_, reason))) = (is_below, line.starts_with("    "), found.last_mut()) {
            reason.extend([" ", said.trim_start_matches("Delay reason: ")]);
        } else {
            is_below = false;
        }
    }
    let action = if text.contains("has not yet been delivered") { Action::Delayed } else { Action::Failed };
    let recipient = |(address, said): &(&str, String)| {
        let remote_mta = said.trim().strip_prefix("host ").and_then(host);
        Recipient { action: Some(action), remote_mta, ..failed(address, said) }
    };
    found.iter().filter(|(_, said)| !said.is_empty()).map(recipient).collect()
}

/// Gmail's, and others in any language: an address, and below it a reply, or what Gmail says in its place.
fn any_reply(text: &str) -> Vec<Recipient> {
    const HEADINGS: [&str; 2] = ["The response from the remote server was:", "The response was:"];
    let text = text.replace("\r\n", "\n");
    let of_heading = HEADINGS.iter().find_map(|heading| text.split_once(heading));
    let Some((before, said)) = of_heading.or_else(|| split_at_reply(&text)) else { return Vec::new() };
    let words = before.split_whitespace().rev().map(|word| word.trim_matches(|c: char| "<>()[]'\".,:;".contains(c)));
    let Some(address) = words.into_iter().find(|word| is_address(word)) else { return Vec::new() };
    let said = said.trim_start().split("\n\n").next().unwrap_or_default();
    let action = if before.contains("temporary problem") { Action::Delayed } else { Action::Failed };
    vec![Recipient { action: Some(action), ..failed(address, said.trim_start_matches(['>', ' ', '\'', '"'])) }]
}

/// What stands before the first line that is a reply, and the rest.
fn split_at_reply(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_reply(line) {
            return text.split_at_checked(at);
        }
        at += line.len();
    }
    None
}

fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !text.contains([' ', '<', '>', '"']))
}
