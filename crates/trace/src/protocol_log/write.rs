//! Writes protocol logs as Exchange does, so that its tools read them.

use jiff::Timestamp;

use super::{FIELDS, LogType, Row, RowKind};
use crate::cell::{guarded, is_formula};

/// The lines that a file begins with.
pub fn header(log_type: LogType, at: Timestamp) -> String {
    format!(
        "#Software: Gatepost\r\n#Version: 15.0.0.0\r\n#Log-type: {log_type}\r\n#Date: {at:.3}\r\n#Fields: {}\r\n",
        FIELDS.join(",")
    )
}

/// One row of any session, with its line end.
pub fn row(row: &Row) -> String {
    let mut output = Vec::new();
    if let Some(at) = row.at {
        write_time(at, &mut output);
    }
    for field in [&row.connector, &row.session] {
        output.push(b',');
        write_field(field, &mut output);
    }
    output.extend_from_slice(format!(",{}", row.sequence).as_bytes());
    for field in [&row.local, &row.remote, row.kind.symbol(), &row.data, &row.context] {
        output.push(b',');
        write_field(field, &mut output);
    }
    output.extend_from_slice(b"\r\n");
    String::from_utf8_lossy(&output).into_owned()
}

/// Writes the rows of one session; what they have in common is made once.
#[derive(Clone, Debug)]
pub struct RowWriter {
    /// `,connector,session,`
    beginning: Vec<u8>,
    sequence: u32,
    local: String,
    remote: String,
    /// `,local,remote,`
    endpoints: Vec<u8>,
}

impl RowWriter {
    pub fn new(connector: &str, session: u64, remote: &str) -> Self {
        let mut beginning = vec![b','];
        write_field(connector, &mut beginning);
        beginning.extend_from_slice(format!(",{session:016X},").as_bytes());
        let mut writer =
            Self { beginning, sequence: 0, local: String::new(), remote: remote.to_owned(), endpoints: Vec::new() };
        writer.set_local("");
        writer
    }

    /// The local endpoint, once there is a socket.
    pub fn set_local(&mut self, local: &str) {
        local.clone_into(&mut self.local);
        self.endpoints = format!(",{local},{},", self.remote).into_bytes();
    }

    /// Appends the session's next row.
    pub fn write(&mut self, at: Timestamp, kind: RowKind, data: &str, context: &str, output: &mut Vec<u8>) {
        write_time(at, output);
        output.extend_from_slice(&self.beginning);
        write_number(self.sequence, output);
        self.sequence += 1;
        output.extend_from_slice(&self.endpoints);
        output.extend_from_slice(kind.symbol().as_bytes());
        for field in [data, context] {
            output.push(b',');
            write_field(field, output);
        }
        output.extend_from_slice(b"\r\n");
    }
}

fn write_number(number: u32, output: &mut Vec<u8>) {
    if number >= 10 {
        write_number(number / 10, output);
    }
    output.push(b'0' + (number % 10) as u8);
}

thread_local! {
    /// The second that was last written, and its text up to the point. Formatting a date costs more than all the rest.
    static SECOND: std::cell::RefCell<(i64, Vec<u8>)> = const { std::cell::RefCell::new((i64::MIN, Vec::new())) };
}

/// `2026-11-25T08:10:00.123Z`
fn write_time(at: Timestamp, output: &mut Vec<u8>) {
    let milliseconds = at.as_millisecond();
    let (second, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            *known = second;
            let whole = Timestamp::from_second(second).unwrap_or_default().to_string();
            *text = whole.trim_end_matches('Z').as_bytes().to_vec();
        }
        output.extend_from_slice(text);
    });
    let digit = |value: i64| b'0' + (value % 10) as u8;
    output.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest), b'Z']);
}

/// Replaces characters that are not line text with a space or a sign, and guards a formula. A first field that begins with
/// # would make its row a header.
fn write_field(field: &str, output: &mut Vec<u8>) {
    let is_plain = |c: char| (' '..='~').contains(&c) && c != ',' && c != '"';
    if field.chars().all(is_plain) && !field.starts_with('#') && !is_formula(field) {
        output.extend_from_slice(field.as_bytes());
        return;
    }
    let field = guarded(field);
    let quoted = field.contains([',', '"']) || field.starts_with('#');
    let text = if quoted { format!("\"{}\"", field.replace('"', "\"\"")).into() } else { field };
    output.extend_from_slice(text.as_bytes());
}
