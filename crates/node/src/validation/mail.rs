//! The recipient of a validation, and the message that it may send.

use bytes::Bytes;
use jiff::Timestamp;
use net::send::Content;
use protocol::smtp::{Address, Envelope, Recipient, ReversePath, Transaction};
use uuid::Uuid;

/// The mail of a validation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    pub recipient: Address,
    /// False: it stops after RCPT, and sends no mail.
    pub is_sent: bool,
}

impl Mail {
    /// From what an operator has typed. A message needs a recipient.
    pub fn read(recipient: Option<&str>, is_sent: bool) -> Result<Option<Self>, String> {
        match recipient {
            None if is_sent => Err("a test message needs a recipient".to_owned()),
            None => Ok(None),
            Some(text) => {
                let recipient = Address::parse(text).map_err(|error| error.to_string())?;
                Ok(Some(Self { recipient, is_sent }))
            }
        }
    }

    /// From the postmaster of the host that says EHLO.
    pub(super) fn transaction(&self, hello: &str) -> Transaction {
        let sender = Address::parse(&format!("postmaster@{hello}"));
        let sender = sender.map_or(ReversePath::Null, ReversePath::Address);
        let recipient = Recipient { address: self.recipient.clone(), notify: None, orcpt: None };
        Transaction { envelope: Envelope::from(sender), size_bytes: None, recipients: vec![recipient] }
    }

    pub(super) fn message(&self, connector: &str, hello: &str, now: Timestamp) -> Message {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let (recipient, id) = (&self.recipient, Uuid::now_v7());
        let text = format!(
            "From: Gatepost <postmaster@{hello}>\r\nTo: <{recipient}>\r\nSubject: Test of connector {connector}\r\n\
             Date: {date}\r\nMessage-ID: <{id}@{hello}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n\
             An operator of the mail gateway {hello} has sent this message to test the connector {connector}.\r\n\
             You do not need to do anything.\r\n"
        );
        Message(Some(text.into()))
    }
}

/// The content, in one piece.
pub(super) struct Message(Option<Bytes>);

impl Content for Message {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        Ok(self.0.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_an_address() {
        let mail = Mail::read(Some("user@onprem.test"), true).unwrap().unwrap();
        let transaction = mail.transaction("mx.example");
        assert_eq!(transaction.envelope.sender.to_string(), "postmaster@mx.example");
        assert_eq!(Mail::read(None, false), Ok(None));
        for text in ["user", "a b@c", "user@onprem.test\r\nDATA", "<script>@x.test>"] {
            assert!(Mail::read(Some(text), false).is_err(), "{text}");
        }
        assert!(Mail::read(None, true).is_err());
    }
}
