//! Inquiries: what an operator wants to know from nodes themselves, since each sees a destination in its own way.

use jiff::Timestamp;
use uuid::Uuid;

/// A question to one node. Question and answer are JSON, opaque here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inquiry {
    pub id: Uuid,
    /// Who is asked.
    pub node: String,
    pub at: Timestamp,
    pub question: String,
}
