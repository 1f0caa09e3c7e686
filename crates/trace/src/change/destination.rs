//! What a destination shows of itself at the beginning of a connection, and how two such sights differ.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is the same at each connection to one address, until something changes there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DestinationFacts {
    /// The greeting without what differs each time: see [`DestinationFacts::stable_greeting`].
    pub greeting: String,
    pub starttls: StartTlsOffer,
    /// `None`: it names no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The other keywords of its first answer to EHLO, in upper case and in order.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// `None`: no handshake has shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
}

/// How STARTTLS is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartTlsOffer {
    Offered,
    NotOffered,
    /// The word was written over, as firewalls that inspect SMTP do.
    Masked,
}

/// Which certificate it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateFacts {
    pub subject: String,
    /// SHA-1, hexadecimal.
    pub thumbprint: String,
    pub not_after: Timestamp,
}

/// What has changed at one address of a destination.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DestinationChange {
    pub host: String,
    pub address: SocketAddr,
    pub differences: Vec<Difference>,
}

/// One fact that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Difference {
    #[serde(rename = "starttls")]
    StartTls {
        old: StartTlsOffer,
        new: StartTlsOffer,
    },
    Certificate {
        old: CertificateFacts,
        new: CertificateFacts,
    },
    Greeting {
        old: String,
        new: String,
    },
    Size {
        #[serde(default)]
        old: Option<u64>,
        #[serde(default)]
        new: Option<u64>,
    },
    Extensions {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        came: Vec<String>,
    },
}

/// Characters of a greeting that are kept.
const GREETING_MAX: usize = 200;
const DAYS_AND_MONTHS: [&str; 19] = [
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep",
    "oct", "nov", "dec",
];

impl DestinationFacts {
    /// What differs from an earlier sight. A certificate that was not seen at one of them is not compared.
    pub fn since(&self, earlier: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        if earlier.starttls != self.starttls {
            differences.push(Difference::StartTls { old: earlier.starttls, new: self.starttls });
        }
        if let (Some(old), Some(new)) = (&earlier.certificate, &self.certificate)
            && old.thumbprint != new.thumbprint
        {
            differences.push(Difference::Certificate { old: old.clone(), new: new.clone() });
        }
        if earlier.greeting != self.greeting {
            differences.push(Difference::Greeting { old: earlier.greeting.clone(), new: self.greeting.clone() });
        }
        if earlier.size != self.size {
            differences.push(Difference::Size { old: earlier.size, new: self.size });
        }
        let missing = |from: &[String], of: &[String]| -> Vec<String> {
            of.iter().filter(|keyword| !from.contains(keyword)).cloned().collect()
        };
        let gone = missing(&self.extensions, &earlier.extensions);
        let came = missing(&earlier.extensions, &self.extensions);
        if !gone.is_empty() || !came.is_empty() {
            differences.push(Difference::Extensions { gone, came });
        }
        differences
    }

    /// The same with the certificate that was known before, if this sight has none.
    pub fn completed(mut self, earlier: &Self) -> Self {
        self.certificate = self.certificate.or_else(|| earlier.certificate.clone());
        self
    }

    /// A greeting without dates, times and session ids, which differ at each connection. The host name and versions of
    /// software stay.
    pub fn stable_greeting(greeting: &str) -> String {
        let mut words = greeting.lines().next().unwrap_or_default().split_ascii_whitespace();
        let host = words.next().unwrap_or_default().to_owned();
        let kept = words.filter(|word| is_stable(word));
        let text = kept.fold(host, |text, word| format!("{text} {word}"));
        text.chars().take(GREETING_MAX).collect()
    }
}

fn is_stable(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
    if !bare.bytes().any(|byte| byte.is_ascii_digit()) {
        return !DAYS_AND_MONTHS.contains(&bare.as_str());
    }
    is_version(&bare)
}

/// Such as `4.97` and `8.18.1/8.18.1`, but not a date such as `30.11.2026`.
fn is_version(word: &str) -> bool {
    let is_part = |part: &str| part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    word.split('/').all(|one| one.split('.').count() > 1 && one.split('.').all(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> DestinationFacts {
        DestinationFacts {
            greeting: "mail.onprem.test ESMTP".to_owned(),
            starttls: StartTlsOffer::Offered,
            size: Some(1000),
            extensions: vec!["8BITMIME".to_owned(), "PIPELINING".to_owned()],
            certificate: None,
        }
    }

    fn certificate(thumbprint: &str) -> Option<CertificateFacts> {
        let (subject, not_after) = ("CN=mail.onprem.test".to_owned(), Timestamp::UNIX_EPOCH);
        Some(CertificateFacts { subject, thumbprint: thumbprint.to_owned(), not_after })
    }

    #[test]
    fn each_fact_is_compared() {
        assert_eq!(facts().since(&facts()), []);
        let new = DestinationFacts {
            greeting: "other.test ESMTP".to_owned(),
            starttls: StartTlsOffer::NotOffered,
            size: None,
            extensions: vec!["8BITMIME".to_owned(), "DSN".to_owned()],
            certificate: certificate("BB"),
        };
        let old = DestinationFacts { certificate: certificate("AA"), ..facts() };
        let names: Vec<String> = new.since(&old).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "STARTTLS no longer offered",
                "certificate of CN=mail.onprem.test replaced by that of CN=mail.onprem.test, valid until 1970-01-01",
                "greeting \"other.test ESMTP\", before \"mail.onprem.test ESMTP\"",
                "no size limit, before 1000 bytes",
                "EHLO offers DSN, no longer PIPELINING",
            ]
        );
    }

    /// Not observed is not absent.
    #[test]
    fn a_certificate_that_was_not_seen_stays() {
        let known = DestinationFacts { certificate: certificate("AA"), ..facts() };
        assert_eq!(facts().since(&known), []);
        assert_eq!(facts().completed(&known), known);
        assert_eq!(known.since(&facts()), []);
    }

    #[test]
    fn greetings_are_kept_without_what_differs_each_time() {
        for (greeting, expected) in [
            ("mx1.a.test ESMTP Postfix (Debian/GNU)", "mx1.a.test ESMTP Postfix (Debian/GNU)"),
            (
                "EX01.corp.test Microsoft ESMTP MAIL Service ready at Mon, 30 Nov 2026 06:50:13 +0000",
                "EX01.corp.test Microsoft ESMTP MAIL Service ready at",
            ),
            ("mx.google.test ESMTP d9443c01a7336-29bce40d9a0si71241935ad.99 - gsmtp", "mx.google.test ESMTP - gsmtp"),
            ("a.test ESMTP Exim 4.97 Tue, 01 Dec 2026 10:00:00 +0100", "a.test ESMTP Exim 4.97"),
            ("a.test ESMTP Sendmail 8.18.1/8.18.1; 30.11.2026", "a.test ESMTP Sendmail 8.18.1/8.18.1;"),
            ("****************", "****************"),
            ("", ""),
        ] {
            assert_eq!(DestinationFacts::stable_greeting(greeting), expected);
        }
        assert_eq!(DestinationFacts::stable_greeting(&"é".repeat(1000)).chars().count(), GREETING_MAX);
    }
}
