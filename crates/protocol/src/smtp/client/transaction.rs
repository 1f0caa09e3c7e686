//! One mail transaction: MAIL, RCPT and DATA in flight together where the destination allows it (RFC 2920), and what
//! each recipient came to.

use std::collections::VecDeque;

use crate::smtp::{
    BodyType, Failure, FailureKind, Notify, Phase, Recipient, Reply, Ret, Transaction, client::Extensions,
};

/// What the destination must offer, lest the message be damaged or refused after it was sent.
pub(super) fn check(transaction: &Transaction, extensions: &Extensions) -> Result<(), Failure> {
    let Transaction { envelope, size_bytes, .. } = transaction;
    let missing = |extension: &str| {
        Err(Failure::new(Phase::Mail, FailureKind::ExtensionMissing { extension: extension.to_owned() }))
    };
    if envelope.smtputf8 && !extensions.smtputf8 {
        return missing("SMTPUTF8");
    }
    if envelope.body_type == BodyType::EightBitMime && !extensions.eight_bit_mime {
        return missing("8BITMIME");
    }
    match (extensions.size, *size_bytes) {
        (Some(Some(size_max)), Some(size_bytes)) if size_bytes > size_max => {
            let kind = FailureKind::TooLarge { size_bytes, size_max_bytes: size_max };
            Err(Failure::new(Phase::Mail, kind))
        }
        _ => Ok(()),
    }
}

/// A command that was sent and not yet answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sent {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    /// RSET in place of DATA.
    TakeBack,
}

/// What follows from a reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Wait,
    Content,
    EmptyContent,
    /// The reply to the RSET that ends a rehearsal.
    TakenBack(Reply),
    Over,
}

/// With more replies outstanding than this, both sides could block on full windows (RFC 2920 section 3.1).
const IN_FLIGHT_MAX: usize = 100;

/// How far a transaction has come.
pub(super) struct Progress {
    /// Commands still to be sent, in order.
    commands: VecDeque<(Sent, Vec<u8>)>,
    in_flight: VecDeque<Sent>,
    pipelining: bool,
    mail_failure: Option<Failure>,
    /// Per recipient: nothing yet, taken by RCPT, or failed.
    results: Vec<Option<Result<(), Failure>>>,
}

impl Progress {
    pub(super) fn new(transaction: &Transaction, extensions: &Extensions) -> Self {
        Self::ending_with((Sent::Data, b"DATA\r\n".to_vec()), transaction, extensions)
    }

    /// No content follows, so nothing is delivered.
    pub(super) fn rehearsal(transaction: &Transaction, extensions: &Extensions) -> Self {
        Self::ending_with((Sent::TakeBack, b"RSET\r\n".to_vec()), transaction, extensions)
    }

    fn ending_with(last: (Sent, Vec<u8>), transaction: &Transaction, extensions: &Extensions) -> Self {
        let mut commands = VecDeque::with_capacity(transaction.recipients.len() + 2);
        commands.push_back((Sent::Mail, mail_command(transaction, extensions)));
        for (index, recipient) in transaction.recipients.iter().enumerate() {
            commands.push_back((Sent::Rcpt(index), rcpt_command(recipient, extensions)));
        }
        commands.push_back(last);
        Self {
            commands,
            in_flight: VecDeque::new(),
            pipelining: extensions.pipelining,
            mail_failure: None,
            results: vec![None; transaction.recipients.len()],
        }
    }

    pub(super) fn reset(&mut self, output: &mut Vec<u8>) {
        self.commands.push_front((Sent::Rset, b"RSET\r\n".to_vec()));
        self.advance(output);
    }

    /// Sends as many commands as may be in flight.
    pub(super) fn advance(&mut self, output: &mut Vec<u8>) {
        let in_flight_max = if self.pipelining { IN_FLIGHT_MAX } else { 1 };
        while self.in_flight.len() < in_flight_max {
            // Without pipelining nothing is asked for that can no longer help.
            if !self.pipelining && self.mail_failure.is_some() {
                self.commands.clear();
            }
            if !self.pipelining && matches!(self.commands.front(), Some((Sent::Data, _))) && !self.any_taken() {
                self.commands.clear();
            }
            let Some((sent, bytes)) = self.commands.pop_front() else { return };
            output.extend_from_slice(&bytes);
            self.in_flight.push_back(sent);
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.in_flight.front() {
            Some(Sent::Rset | Sent::Mail) | None => Phase::Mail,
            Some(Sent::Rcpt(_) | Sent::TakeBack) => Phase::Rcpt,
            Some(Sent::Data) => Phase::Data,
        }
    }

    pub(super) fn handle_reply(&mut self, reply: Reply) -> Next {
        match self.in_flight.pop_front() {
            // Otherwise the reply to MAIL tells what stands.
            Some(Sent::Rset) if reply.code == 421 => self.mail_failure = Some(Failure::rejected(Phase::Mail, reply)),
            Some(Sent::Rset) | None => {}
            Some(Sent::Mail) if reply.is_positive() => {}
            Some(Sent::Mail) => self.mail_failure = Some(Failure::rejected(Phase::Mail, reply)),
            Some(Sent::Rcpt(index)) => {
                let taken = reply.is_positive();
                self.results[index] = Some(if taken { Ok(()) } else { Err(Failure::rejected(Phase::Rcpt, reply)) });
            }
            Some(Sent::TakeBack) => return Next::TakenBack(reply),
            Some(Sent::Data) if reply.code == 354 => {
                return if self.any_taken() { Next::Content } else { Next::EmptyContent };
            }
            Some(Sent::Data) => {
                self.fail_taken(&Failure::rejected(Phase::Data, reply));
                return Next::Over;
            }
        }
        let hopeless = self.mail_failure.is_some() || (self.rcpts_answered() && !self.any_taken());
        if !self.pipelining && self.in_flight.is_empty() && hopeless { Next::Over } else { Next::Wait }
    }

    fn rcpts_answered(&self) -> bool {
        self.results.iter().all(Option::is_some)
    }

    fn any_taken(&self) -> bool {
        self.mail_failure.is_none() && self.results.iter().any(|result| matches!(result, Some(Ok(()))))
    }

    /// Everything that was not refused before fails with `failure`.
    fn fail_taken(&mut self, failure: &Failure) {
        for result in &mut self.results {
            if !matches!(result, Some(Err(_))) {
                *result = Some(Err(failure.clone()));
            }
        }
    }

    /// The reply to the final dot decides for every recipient that RCPT took.
    pub(super) fn end(self, reply: Reply) -> Vec<Result<Reply, Failure>> {
        let mail_failure = self.mail_failure;
        let results = self.results.into_iter();
        let result = |result| match (&mail_failure, result) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(Err(failure))) => Err(failure),
            (None, _) if reply.is_positive() => Ok(reply.clone()),
            (None, _) => Err(Failure::rejected(Phase::EndOfData, reply.clone())),
        };
        results.map(result).collect()
    }

    /// The results of a transaction that ended without content.
    pub(super) fn over(mut self) -> Vec<Result<Reply, Failure>> {
        if let Some(failure) = self.mail_failure.take() {
            self.results.fill(Some(Err(failure)));
        }
        let phase = Phase::Data;
        let detail = || FailureKind::BadReply { detail: "the transaction ended without a reply".to_owned() };
        let result = |result| match result {
            Some(Err(failure)) => Err(failure),
            Some(Ok(())) | None => Err(Failure::new(phase, detail())),
        };
        self.results.into_iter().map(result).collect()
    }

    /// 421 came: what was not answered failed with it.
    pub(super) fn cut_by_421(mut self) -> Vec<Result<Reply, Failure>> {
        let phase = self.phase();
        let failure = self
            .mail_failure
            .clone()
            .or_else(|| self.results.iter().flatten().filter_map(|r| r.clone().err()).find(is_421))
            .unwrap_or_else(|| Failure::new(phase, FailureKind::ConnectionClosed));
        self.fail_taken(&failure);
        self.over()
    }

    /// The connection broke: what RCPT had not refused shares that fate.
    pub(super) fn broken(mut self, failure: Failure) -> Vec<Result<Reply, Failure>> {
        self.fail_taken(&failure);
        self.over()
    }
}

fn is_421(failure: &Failure) -> bool {
    failure.reply.as_ref().is_some_and(|reply| reply.code == 421)
}

fn mail_command(transaction: &Transaction, extensions: &Extensions) -> Vec<u8> {
    let Transaction { envelope, size_bytes, .. } = transaction;
    let mut line = format!("MAIL FROM:<{}>", envelope.sender);
    if let Some(size_bytes) = size_bytes.filter(|_| extensions.size.is_some()) {
        line.push_str(&format!(" SIZE={size_bytes}"));
    }
    if extensions.eight_bit_mime && envelope.body_type == BodyType::EightBitMime {
        line.push_str(" BODY=8BITMIME");
    }
    if envelope.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if extensions.dsn {
        match envelope.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = &envelope.envid {
            line.push_str(&format!(" ENVID={envid}"));
        }
    }
    line.push_str("\r\n");
    line.into_bytes()
}

fn rcpt_command(recipient: &Recipient, extensions: &Extensions) -> Vec<u8> {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if extensions.dsn {
        match recipient.notify {
            None => {}
            Some(Notify::Never) => line.push_str(" NOTIFY=NEVER"),
            Some(Notify::On { success, failure, delay }) => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let chosen: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
                line.push_str(&format!(" NOTIFY={}", chosen.join(",")));
            }
        }
        if let Some(orcpt) = &recipient.orcpt {
            line.push_str(&format!(" ORCPT={orcpt}"));
        }
    }
    line.push_str("\r\n");
    line.into_bytes()
}
