//! The limit that a connector runs into. In JSON it is a text, such as `rate 600/min`, and it reads back whatever a newer
//! version writes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why no more of a connector's mail is being sent just now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Limit {
    /// A number of messages in a span of seconds.
    Rate { messages: u32, per_s: u64 },
    /// A number of simultaneous connections.
    Concurrency(u32),
    /// Of a newer version.
    Unknown(String),
}

/// Spans that rates count in.
const SPANS: [(u64, &str); 3] = [(1, "s"), (60, "min"), (3600, "h")];

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { messages, per_s } => match SPANS.iter().find(|(seconds, _)| seconds == per_s) {
                Some((_, name)) => write!(f, "rate {messages}/{name}"),
                None => write!(f, "rate {messages}/{per_s}s"),
            },
            Self::Concurrency(connections) => write!(f, "concurrency {connections}"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl From<String> for Limit {
    fn from(text: String) -> Self {
        read(&text).unwrap_or(Self::Unknown(text))
    }
}

fn read(text: &str) -> Option<Limit> {
    let limit = match text.split_once(' ')? {
        ("rate", rate) => {
            let (messages, span) = rate.split_once('/')?;
            let (per_s, _) = SPANS.iter().find(|(_, name)| *name == span)?;
            Limit::Rate { messages: messages.parse().ok()?, per_s: *per_s }
        }
        ("concurrency", connections) => Limit::Concurrency(connections.parse().ok()?),
        _ => return None,
    };
    // As it was written, and no other text that means the same.
    (limit.to_string() == text).then_some(limit)
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_back_as_they_are_written() {
        let table = [
            ("rate 2/h", Limit::Rate { messages: 2, per_s: 3600 }),
            ("rate 600/min", Limit::Rate { messages: 600, per_s: 60 }),
            ("concurrency 20", Limit::Concurrency(20)),
            ("concurrency +20", Limit::Unknown("concurrency +20".to_owned())),
            ("bytes 5/day", Limit::Unknown("bytes 5/day".to_owned())),
        ];
        for (text, limit) in table {
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::from_str::<Limit>(&json).unwrap(), limit);
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
        }
    }
}
