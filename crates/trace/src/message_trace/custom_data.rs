//! What Exchange's columns have no place for: `S:name=value;S:name=value`, as its own tracking logs write it.

use std::fmt::{Display, Write as _};

/// The content of the column, value by value.
#[derive(Default)]
pub struct CustomData(String);

impl CustomData {
    pub fn add(&mut self, name: &str, value: impl Display) {
        let separator = if self.0.is_empty() { "" } else { ";" };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{separator}S:{name}={value}");
    }

    /// What a connection agreed on, in OpenSSL's words.
    pub fn add_tls(&mut self, version: &str, cipher: &str) {
        self.add("TlsVersion", version);
        self.add("TlsCipher", cipher);
    }

    /// As the source names it. A reader must not assume one.
    pub fn add_port(&mut self, port: Option<u16>) {
        if let Some(port) = port {
            self.add("DestinationPort", port);
        }
    }
}

impl AsRef<str> for CustomData {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A value of the column; a semicolon ends it.
pub fn custom_value<'a>(data: &'a str, name: &str) -> Option<&'a str> {
    data.split(';').find_map(|part| part.trim().strip_prefix("S:")?.strip_prefix(name)?.strip_prefix('='))
}
