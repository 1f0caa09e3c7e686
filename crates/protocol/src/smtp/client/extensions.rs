//! What a destination offers in its answer to EHLO.

use serde::Serialize;

use crate::smtp::Reply;

/// Extensions that change what the client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Extensions {
    pub pipelining: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub starttls: bool,
    /// The word STARTTLS was written over, as firewalls that inspect SMTP do.
    pub starttls_masked: bool,
    /// `SIZE`, and the limit in bytes where it names one (RFC 1870).
    pub size: Option<Option<u64>>,
}

/// What a destination says of itself before TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Introduction {
    pub greeting: String,
    /// Its first answer to EHLO; `None`: it has not accepted that.
    pub ehlo: Option<Reply>,
}

impl Extensions {
    /// All keywords of a 250 reply to EHLO, in upper case and in order.
    pub fn keywords(reply: &Reply) -> Vec<String> {
        let words = reply.text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next());
        let mut keywords: Vec<String> = words.map(str::to_ascii_uppercase).collect();
        keywords.sort_unstable();
        keywords.dedup();
        keywords
    }

    /// Reads the lines after the first of a 250 reply to EHLO.
    pub fn parse(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "DSN" => extensions.dsn = true,
                "STARTTLS" => extensions.starttls = true,
                // Cisco's fixup writes X over what it does not know, and leaves the length.
                "XXXXXXXA" | "XXXXXXXX" => extensions.starttls_masked = true,
                // 0 means that no fixed limit is in force.
                "SIZE" => {
                    let limit = words.next().and_then(|word| word.parse().ok()).filter(|limit| *limit > 0);
                    extensions.size = Some(limit);
                }
                _ => {}
            }
        }
        extensions
    }
}
