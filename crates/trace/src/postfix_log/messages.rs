//! What became of messages: rows from the records of smtp, qmgr, cleanup and the others.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::{
    columns::{Numbered, set_server},
    line::{Line, Program, rsplit_once},
    record::{Delivery, Record, host_and_address},
    sessions::{Client, set_client},
    talk::Talk,
};
use crate::{
    message_trace::{Column, CustomData, Row},
    open_messages::OpenMessages,
};

/// The value of `Purpose` in the custom data of an attempt that was to test an address.
pub const ADDRESS_VERIFICATION: &str = "AddressVerification";

/// The value of `Attempt` in the custom data of a bounce that only age decided, after attempts that the log has.
pub const EXPIRED: &str = "expired";

/// Maximum for one message. No server accepts more at once.
const RECIPIENTS_MAX: usize = 100_000;

pub(super) struct Outgoing {
    open: OpenMessages<Message>,
    /// By process.
    talks: OpenMessages<Talk>,
    /// What a program of this side said of its own failure, until mail waits for that.
    fault: String,
    /// The last process of smtp(8) that ended, until mail waits for that.
    crash: Option<Numbered>,
    /// Of servers that failed: what waits for them later may not name the port.
    ports: OpenMessages<u16>,
    pub(super) ready: VecDeque<Numbered>,
}

#[derive(Default)]
struct Message {
    since: Option<Timestamp>,
    sender: String,
    message_id: String,
    client: Client,
    size: String,
    /// True for those that still wait.
    recipients: HashMap<Box<str>, bool, RandomState>,
    /// How the last attempt that failed did.
    last: Option<Box<Last>>,
}

struct Last {
    server: String,
    status: String,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            open: OpenMessages::new(),
            talks: OpenMessages::new(),
            fault: String::new(),
            crash: None,
            ports: OpenMessages::new(),
            ready: VecDeque::new(),
        }
    }

    fn message(&mut self, queue_id: &str, at: Option<Timestamp>) -> &mut Message {
        let message = self.open.entry(queue_id);
        message.since = message.since.or(at);
        message
    }

    /// A client hands a message in.
    pub(super) fn bring(&mut self, queue_id: &str, at: Option<Timestamp>, client: Client) {
        self.message(queue_id, at).client = client;
    }

    pub(super) fn take(&mut self, line: &Line<'_>, number: u64, record: &Record<'_>) {
        match record {
            Record::MessageId { queue_id, message_id } => {
                (*message_id).clone_into(&mut self.message(queue_id, line.at).message_id);
            }
            Record::Active { queue_id, sender, size_bytes } => {
                let message = self.message(queue_id, line.at);
                (*sender).clone_into(&mut message.sender);
                message.size = size_bytes.to_string();
            }
            Record::Delivery(delivery) => self.deliver(delivery, line, number),
            Record::Passed { .. } => self.talks.entry(line.process).pass(record, number, line.at),
            Record::Tls { host, address, port, version, cipher, .. } => {
                self.talks.entry(line.process).agree(format!("{host}[{address}]:{port}"), version, cipher);
            }
            Record::TlsTrouble { relay, text } => self.talks.entry(line.process).fail(*relay, text, line.at),
            Record::Warning { text } if line.program == Program::Client => self.talks.entry(line.process).warn(text),
            Record::Warning { text } => self.blame(text),
            Record::WithoutTls { text } => self.talks.entry(line.process).go_without_tls(text),
            Record::Crash { text } => self.crash(text, line, number),
            Record::Expired { queue_id } => self.expire(queue_id, line, number),
            Record::Removed { queue_id } => self.open.remove(queue_id),
            Record::Nothing => {}
        }
    }

    /// A process that crashed says nothing itself: its master and qmgr do.
    fn blame(&mut self, text: &str) {
        // What the process said itself says more than its exit status.
        let says_how = text.contains("killed by signal") || text.contains("exit status") && self.crash.is_none();
        if says_how || text.contains("bad command startup") && self.fault.is_empty() {
            text.clone_into(&mut self.fault);
        }
    }

    /// It says itself why it ends. Mail may wait for minutes before qmgr says that it does.
    fn crash(&mut self, text: &str, line: &Line<'_>, number: u64) {
        text.clone_into(&mut self.fault);
        let mut row = Row::default();
        row.at = line.at;
        row.set(Column::Source, "SMTP");
        row.set(Column::EventId, "DEFER");
        row.set(Column::ClientHostname, node(line));
        row.set(Column::RecipientStatus, format!("4.3.0 unknown mail transport error ({text})"));
        self.ready.extend(self.crash.replace((number, row)));
    }

    fn deliver(&mut self, delivery: &Delivery<'_>, line: &Line<'_>, number: u64) {
        // The address was tested, and no mail was sent.
        if delivery.status == "deliverable" {
            return;
        }
        let mut row = self.message(delivery.queue_id, line.at).row(delivery.queue_id);
        row.set(Column::RecipientAddress, delivery.recipient);
        let status = self.status(delivery, line);
        let message = self.open.entry(delivery.queue_id);
        // verify(8) tested the address, and no mail was sent.
        let is_test = delivery.status == "undeliverable";
        if message.is_new(delivery.recipient, delivery.status == "deferred") && !is_test {
            self.ready.push_back((number, message.receipt(&row)));
        }
        if delivery.status == "deferred" {
            message.last = Some(Box::new(Last { server: delivery.server().to_owned(), status: status.clone() }));
        }
        let node = node(line);
        let talk = self.talks.entry(line.process);
        let passed = talk.take_passed(delivery);
        let server = at_port(delivery.server(), delivery.status, &mut self.ports);
        let (_, _, port) = host_and_address(&server);
        self.ready.extend(passed.into_iter().map(|passed| passed.at_port(port).row(&row, &node)));
        let mut data = CustomData::default();
        talk.tell_result(delivery, line.at, &mut data);
        if line.program == Program::Suspended && delivery.is_of_another_attempt() {
            data.add("Attempt", "none");
        }
        if is_test {
            data.add("Purpose", ADDRESS_VERIFICATION);
        }
        if let Some(delays) = delivery.telling_delays() {
            data.add("Delays", delays);
        }
        row.at = line.at;
        row.set(Column::EventId, event(delivery));
        row.set(Column::ClientHostname, node);
        row.set(Column::RecipientStatus, status);
        set_server(&mut row, &server, data);
        self.ready.push_back((number, row));
    }

    /// The status, and what this side said before where it failed without a server.
    fn status(&mut self, delivery: &Delivery<'_>, line: &Line<'_>) -> String {
        let warning = match line.program {
            Program::Suspended if delivery.text.ends_with("mail transport error") => {
                self.crash = None;
                std::mem::take(&mut self.fault)
            }
            Program::Client => self.talks.entry(line.process).take_warning(),
            _ => String::new(),
        };
        let said = [delivery.dsn, delivery.text].join(" ");
        let is_own = delivery.relay == "none" && delivery.server() == "none" && delivery.status != "sent";
        match warning.as_str() {
            warning if is_own && !warning.is_empty() && !warning.contains(delivery.text) => {
                format!("{} ({warning})", said.trim())
            }
            _ => said.trim().to_owned(),
        }
    }

    /// Recipients that wait bounce, by the last failure.
    fn expire(&mut self, queue_id: &str, line: &Line<'_>, number: u64) {
        let message = self.open.entry(queue_id);
        let row = message.row(queue_id);
        let last = message.last.take();
        for (recipient, waits) in &mut message.recipients {
            if !std::mem::take(waits) {
                continue;
            }
            let mut row = row.clone();
            row.at = line.at;
            row.set(Column::EventId, "FAIL");
            row.set(Column::RecipientAddress, recipient);
            row.set(Column::RecipientStatus, last.as_ref().map_or("4.4.7 message expired", |last| &last.status));
            let mut data = CustomData::default();
            if last.is_some() {
                data.add("Attempt", EXPIRED);
            }
            set_server(&mut row, last.as_ref().map_or("none", |last| &last.server), data);
            self.ready.push_back((number, row));
        }
    }

    /// The log is over: servers that were skipped failed, whatever became of the message.
    pub(super) fn end(&mut self) {
        let talks = std::mem::replace(&mut self.talks, OpenMessages::new());
        for passed in talks.into_values().flat_map(Talk::end) {
            let row = match &passed.queue_id {
                Some(queue_id) => self.open.entry(queue_id).row(queue_id),
                None => Row::default(),
            };
            self.ready.push_back(passed.row(&row, ""));
        }
        self.ready.extend(self.crash.take());
    }
}

impl Message {
    /// What is the same in all its rows.
    fn row(&self, queue_id: &str) -> Row {
        let mut row = Row::with_room();
        row.set(Column::Source, "SMTP");
        row.set(Column::NetworkMessageId, queue_id);
        row.set(Column::MessageId, self.message_id.as_str());
        row.set(Column::SenderAddress, self.sender.as_str());
        row.set(Column::TotalBytes, self.size.as_str());
        row.set(Column::OriginalClientIp, self.client.address.as_str());
        row
    }

    /// True for a recipient of which nothing was said before; one too many is not remembered, and never new.
    fn is_new(&mut self, recipient: &str, waits: bool) -> bool {
        if let Some(known) = self.recipients.get_mut(recipient) {
            *known = waits;
            return false;
        }
        self.recipients.len() < RECIPIENTS_MAX && self.recipients.insert(recipient.into(), waits).is_none()
    }

    fn receipt(&self, row: &Row) -> Row {
        let mut row = row.clone();
        row.at = self.since;
        row.set(Column::EventId, "RECEIVE");
        set_client(&mut row, &self.client);
        row
    }
}

/// The server with its port, as this line has it or one before.
fn at_port<'a>(server: &'a str, status: &str, ports: &mut OpenMessages<u16>) -> Cow<'a, str> {
    let (_, address, port) = host_and_address(server);
    let bare = server.rsplit_once(':').filter(|_| port.is_some()).map_or(server, |(bare, _)| bare);
    match (address, port) {
        (Some(_), Some(port)) if status != "sent" => {
            *ports.entry(bare) = port;
            server.into()
        }
        (Some(_), None) => match *ports.entry(bare) {
            0 => server.into(),
            port => format!("{server}:{port}").into(),
        },
        _ => server.into(),
    }
}

/// The host, and the instance or transport where it has a name of its own: it has settings of its own as well.
fn node<'a>(line: &Line<'a>) -> Cow<'a, str> {
    let (name, _) = rsplit_once(line.service, b'/').unwrap_or_default();
    match (line.host, name) {
        (host, "postfix") => host.unwrap_or_default().into(),
        (Some(host), name) => format!("{host} {name}").into(),
        (None, name) => name.into(),
    }
}

/// Exchange's name for it: what a local transport took is in a mailbox.
fn event(delivery: &Delivery<'_>) -> &'static str {
    match delivery.status {
        "sent" if host_and_address(delivery.relay).1.is_none() => "DELIVER",
        "sent" => "SEND",
        "deferred" => "DEFER",
        _ => "FAIL",
    }
}
