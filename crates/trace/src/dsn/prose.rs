//! Bounces for people: what Exchange 5.5 to 2003, Exchange Online and Postfix write where no fields are.

use protocol::smtp::EnhancedCode;

use super::{Action, Recipient, Typed};

/// Lines that come before what is of interest.
const EXCHANGE_LISTS: [&str; 2] =
    ["did not reach the following recipient(s):", "The following recipient(s) could not be reached:"];
/// A bounce has a few; a longer list is not read.
const RECIPIENTS_MAX: usize = 1000;

/// The recipients who did not get it, by the text.
pub(super) fn recipients(text: &str) -> Vec<Recipient> {
    let readers: [fn(&str) -> Vec<Recipient>; 3] = [exchange_online, exchange_2003, postfix];
    let mut found = readers.iter().map(|read| read(text)).find(|found| !found.is_empty()).unwrap_or_default();
    found.truncate(RECIPIENTS_MAX);
    found
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

/// An address and, on the next line, `Remote Server returned '550 …'`, or `Server at … returned '…'`.
fn exchange_online(text: &str) -> Vec<Recipient> {
    const RETURNED: &str = "returned '";
    let mut found: Vec<Recipient> = Vec::new();
    for (at, _) in text.match_indices(RETURNED).take(RECIPIENTS_MAX) {
        let before = text[..at].rsplit('\n').skip(1).map(str::trim).find(|line| !line.is_empty());
        let address = before.map(|line| line.split(['<', ' ']).next().unwrap_or_default());
        let said = text[at + RETURNED.len()..].split("'\n").next().unwrap_or_default();
        let said = said.split("'\r\n").next().unwrap_or_default().trim_end().trim_end_matches('\'');
        // Only the first is the outcome; others are what was said on the way there.
        if let Some(address) = address.filter(|address| is_address(address))
            && !found.iter().any(|known| known.final_recipient.as_ref().is_some_and(|known| known.text == address))
        {
            found.push(failed(address, said));
        }
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

fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !text.contains([' ', '<', '>', '"']))
}
