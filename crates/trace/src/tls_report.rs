//! Reads TLS reports (RFC 8460): JSON, gzipped or not, alone or in a mail.
//!
//! Reports come from everybody, so what is missing is left out, and what is unknown is kept as text.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use mail_parser::{MessageParser, MessagePart, MimeHeaders};
use serde::{Deserialize, Deserializer, Serialize};

/// A report's JSON may have so much: those of the largest senders have a tenth of it.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One report: what one sender saw of the TLS of one domain's servers.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct TlsReport {
    #[serde(deserialize_with = "or_default")]
    pub organization_name: String,
    #[serde(deserialize_with = "or_default")]
    pub date_range: DateRange,
    #[serde(deserialize_with = "or_default")]
    pub contact_info: String,
    #[serde(deserialize_with = "or_default")]
    pub report_id: String,
    #[serde(deserialize_with = "or_default")]
    pub policies: Vec<PolicyReport>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DateRange {
    #[serde(deserialize_with = "time")]
    pub start_datetime: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub end_datetime: Option<Timestamp>,
}

/// What was seen under one policy.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PolicyReport {
    #[serde(deserialize_with = "or_default")]
    pub policy: Policy,
    #[serde(deserialize_with = "or_default")]
    pub summary: Summary,
    #[serde(deserialize_with = "or_default")]
    pub failure_details: Vec<FailureDetails>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Policy {
    pub policy_type: PolicyType,
    #[serde(deserialize_with = "one_or_many")]
    pub policy_string: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub policy_domain: String,
    #[serde(deserialize_with = "one_or_many")]
    pub mx_host: Vec<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Summary {
    #[serde(deserialize_with = "count")]
    pub total_successful_session_count: u64,
    #[serde(deserialize_with = "count")]
    pub total_failure_session_count: u64,
}

/// Sessions that failed alike.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FailureDetails {
    pub result_type: ResultType,
    /// Addresses are text: some write none, or a name.
    #[serde(deserialize_with = "or_default")]
    pub sending_mta_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub receiving_mx_hostname: String,
    #[serde(deserialize_with = "or_default")]
    pub receiving_mx_helo: String,
    #[serde(deserialize_with = "or_default")]
    pub receiving_ip: String,
    #[serde(deserialize_with = "count")]
    pub failed_session_count: u64,
    #[serde(deserialize_with = "or_default")]
    pub additional_information: String,
    #[serde(deserialize_with = "or_default")]
    pub failure_reason_code: String,
}

/// RFC 8460 section 4.4.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    Tlsa,
    Sts,
    NoPolicyFound,
    #[serde(untagged)]
    Other(String),
}

impl Default for PolicyType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// RFC 8460 section 4.3.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    TlsaInvalid,
    DnssecInvalid,
    DaneRequired,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebpkiInvalid,
    #[serde(untagged)]
    Other(String),
}

impl Default for ResultType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// `null` is as good as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Other(serde_json::Value),
}

/// A number, or one in quotes; anything else counts nothing.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(match Count::deserialize(deserializer)? {
        Count::Number(number) => number,
        Count::Other(value) => value.as_str().and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
    })
}

/// Some leave the zone out; it is UTC then.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let read = |text: &str| text.parse().or_else(|_| format!("{text}Z").parse()).ok();
    Ok(value.as_str().map(str::trim).and_then(read))
}

/// Why something is not a report.
#[derive(Debug)]
pub enum Error {
    /// Neither JSON nor a mail that has a report in it.
    NoReport,
    Gzip(io::Error),
    Json(serde_json::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoReport => f.write_str("no TLS report found"),
            Self::Gzip(error) => write!(f, "failed to decompress the TLS report: {error}"),
            Self::Json(error) => write!(f, "not a valid TLS report (RFC 8460): {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a report in whatever form it came: JSON, gzipped JSON, or a mail with either.
pub fn read(bytes: &[u8]) -> Result<TlsReport, Error> {
    if is_gzip(bytes) || is_json(bytes) {
        return read_file(bytes);
    }
    let message = MessageParser::default().parse(bytes).ok_or(Error::NoReport)?;
    let part = message.parts.iter().find(|part| is_report(part)).ok_or(Error::NoReport)?;
    read_file(part.contents())
}

fn read_file(bytes: &[u8]) -> Result<TlsReport, Error> {
    if !is_gzip(bytes) {
        return read_json(bytes);
    }
    let mut json = Vec::new();
    let unpacked = MultiGzDecoder::new(bytes).take(JSON_BYTES_MAX).read_to_end(&mut json);
    // What follows a complete report is of no account: some mailers add a line end.
    match (unpacked, read_json(&json)) {
        (Err(error), Err(_)) => Err(Error::Gzip(error)),
        (_, report) => report,
    }
}

fn read_json(bytes: &[u8]) -> Result<TlsReport, Error> {
    serde_json::from_slice(without_mark(bytes)).map_err(Error::Json)
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

fn is_json(bytes: &[u8]) -> bool {
    without_mark(bytes).trim_ascii_start().starts_with(b"{")
}

/// By its type, its name, or its contents: types are wrong often enough.
fn is_report(part: &MessagePart<'_>) -> bool {
    let subtype = part.content_type().and_then(|kind| kind.subtype()).unwrap_or_default().to_ascii_lowercase();
    let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
    let contents = part.contents();
    subtype.starts_with("tlsrpt")
        || ((name.ends_with(".json") || name.ends_with(".json.gz") || subtype.ends_with("gzip"))
            && (is_gzip(contents) || is_json(contents)))
}
