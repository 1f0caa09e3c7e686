//! What a listener allows, and which recipients it accepts.

use std::{sync::Arc, time::Duration};

/// What a listener allows.
pub struct Policy {
    /// In the banner and in the reply to EHLO.
    pub hostname: String,
    /// Bytes of one message.
    pub size_max: u64,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Bytes of one line of content, CRLF not counted.
    pub body_line_max: usize,
    /// Faults of the client in one session.
    pub errors_max: u32,
    /// Commands since the last message that do nothing for one, such as NOOP.
    pub junk_commands_max: u32,
    pub starttls: bool,
    pub command_timeout: Duration,
    pub data_timeout: Duration,
    pub recipients: Arc<dyn Recipients>,
}

impl Policy {
    /// The first line that a client hears, the same for all.
    pub fn banner(&self) -> String {
        format!("220 {} ESMTP Gatepost\r\n", self.hostname)
    }
}

/// Which recipients may be named.
pub trait Recipients: Send + Sync {
    /// True if the gateway takes mail for the domain, given in lower case and A-labels.
    fn accepts(&self, domain_key: &str) -> bool;
    /// Whose postmaster is meant by `<Postmaster>`.
    fn postmaster_domain(&self) -> Option<String>;
}
