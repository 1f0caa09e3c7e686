//! From the arguments of a search, as the command line and the API take them, to what the store looks for.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use store::{AttemptMatch, SubjectMatch, TraceQuery};

use super::arguments::SearchArguments;
use crate::config::ByteSize;

/// Longer than this, a pattern that fits everything is surely a mistake.
const WILDCARD_DAYS_MAX: i64 = 90;

impl SearchArguments {
    /// What to search for; an error where it cannot be meant.
    pub(crate) fn query(&self, now: Timestamp) -> anyhow::Result<TraceQuery> {
        let since = self.since.map(|since| since.timestamp(now));
        let until = self.until.map(|until| until.timestamp(now));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            bail!("the time range is reversed: --since is {since}, and --until is {until}");
        }
        for (name, pattern) in [("--sender", &self.sender), ("--recipient", &self.recipient)] {
            let is_anything = pattern.as_ref().is_some_and(|pattern| pattern.trim_matches(['*', '@']).is_empty());
            let days = until.unwrap_or(now).duration_since(since.unwrap_or(Timestamp::UNIX_EPOCH)).as_hours() / 24;
            if is_anything && days > WILDCARD_DAYS_MAX {
                bail!("{name} '*' means every message; leave it out, or say --since with at most {WILDCARD_DAYS_MAX}d");
            }
        }
        let subject = match self {
            Self { subject: Some(text), .. } => Some(SubjectMatch::Contains(text.clone())),
            Self { subject_starts_with: Some(text), .. } => Some(SubjectMatch::StartsWith(text.clone())),
            Self { subject_ends_with: Some(text), .. } => Some(SubjectMatch::EndsWith(text.clone())),
            _ => None,
        };
        let message = match self.message {
            Some(id) => Some(id.whole().with_context(|| format!("{id} is only the beginning of an id"))?),
            None => None,
        };
        let last = &self.last_attempt;
        Ok(TraceQuery {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            message_id: self.message_id.clone(),
            network_message_id: message,
            subject,
            states: (!self.status.is_empty())
                .then(|| self.status.iter().flat_map(|status| status.states()).copied().collect()),
            since,
            until,
            from_ip: self.from_ip,
            size_min: self.size_min.map(ByteSize::bytes),
            size_max: self.size_max.map(ByteSize::bytes),
            connector: self.connector.clone(),
            last_attempt: AttemptMatch {
                to_ip: last.to_ip,
                node: last.node.clone(),
                tls_policy: last.policy.clone(),
                tls_version: last.tls_version.clone(),
                cipher: last.cipher.clone(),
                code: last.code.clone(),
            },
            limit: self.limit,
            after: self.after,
        })
    }
}
