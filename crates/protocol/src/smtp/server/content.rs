//! Content as it comes in, by DATA (RFC 5321 section 4.1.1.4) or BDAT (RFC 3030). Void content is swallowed to its end
//! and answered there, so that no byte of it is ever read as a command.

use bytes::{Buf, BytesMut};

use super::{Session, State, Step, reply};
use crate::smtp::{
    Reply,
    command::refuse,
    data::{ContentCheck, ContentFault, DotDecoder},
};

/// A message under way by DATA.
pub(super) struct Data {
    decoder: DotDecoder,
    check: ContentCheck,
    void: Option<Reply>,
    /// Void content is not swallowed forever.
    swallowed_max: u64,
}

impl Data {
    pub(super) fn new(line_max: usize, size_max: u64) -> Self {
        Self {
            decoder: DotDecoder::default(),
            check: ContentCheck::new(line_max, size_max),
            void: None,
            swallowed_max: size_max.saturating_mul(4),
        }
    }

    pub(super) fn void(&mut self, reply: Reply) {
        self.void.get_or_insert(reply);
    }
}

/// A message under way by BDAT, within a chunk or between two.
pub(super) struct Bdat {
    check: ContentCheck,
    /// Bytes of the present chunk that are still to come; `None` between chunks.
    remaining: Option<u64>,
    last: bool,
    void: Void,
}

enum Void {
    No,
    /// The reply for the chunk that is under way.
    Now(Reply),
    /// Answered before; further chunks get 503.
    Before,
}

impl Bdat {
    pub(super) fn new(size: u64, last: bool, line_max: usize, size_max: u64) -> Self {
        let mut bdat = Self { check: ContentCheck::new(line_max, size_max), remaining: None, last, void: Void::No };
        bdat.next_chunk(size, last);
        bdat
    }

    /// A chunk that is not wanted.
    pub(super) fn refused(size: u64, last: bool, refusal: Reply) -> Self {
        let mut bdat = Self::new(size, last, usize::MAX, u64::MAX);
        bdat.void = Void::Now(refusal);
        bdat
    }

    pub(super) fn in_chunk(&self) -> bool {
        self.remaining.is_some()
    }

    pub(super) fn is_void(&self) -> bool {
        !matches!(self.void, Void::No)
    }

    pub(super) fn next_chunk(&mut self, size: u64, last: bool) {
        self.remaining = Some(size);
        self.last = last;
    }

    pub(super) fn void(&mut self, reply: Reply) {
        if !self.is_void() {
            self.void = Void::Now(reply);
        }
    }
}

fn refusal_of(fault: ContentFault) -> Reply {
    match fault {
        ContentFault::TooLarge { .. } => refuse(552, 3, 4, format!("Message refused: {fault}")),
        ContentFault::BareLf { .. }
        | ContentFault::BareCr { .. }
        | ContentFault::Nul { .. }
        | ContentFault::LineTooLong { .. } => refuse(550, 6, 0, format!("Message refused: {fault}")),
    }
}

impl Session {
    pub(super) fn handle_data(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
        content: &mut Vec<u8>,
    ) -> Option<Step> {
        let State::Data(data) = &mut self.state else { return None };
        let start = content.len();
        let ended = data.decoder.decode(input, content);
        let was_void = data.void.is_some();
        data.check.add(&content[start..]);
        if ended {
            data.check.end();
        }
        if let (None, Some(fault)) = (&data.void, data.check.fault()) {
            data.void = Some(refusal_of(fault));
        }
        let has_content = content.len() > start;
        let Some(void) = &data.void else {
            if ended {
                self.eight_bit = data.check.eight_bit();
                self.state = State::Ending;
                return Some(Step::End);
            }
            return Some(if has_content { Step::Content } else { Step::Read });
        };
        let endless = data.check.size() > data.swallowed_max;
        content.truncate(start);
        if ended || endless {
            void.write_to(output);
            self.state = if endless { State::Closed } else { State::Ready };
        }
        match (was_void, ended || endless) {
            (false, _) => Some(Step::Abort),
            (true, true) => None,
            (true, false) => Some(Step::Read),
        }
    }

    pub(super) fn handle_chunk(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
        content: &mut Vec<u8>,
    ) -> Option<Step> {
        let State::Bdat(bdat) = &mut self.state else { return None };
        let remaining = bdat.remaining.unwrap_or_default();
        let count = usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
        let remaining = remaining - count as u64;
        bdat.remaining = Some(remaining);
        let was_void = bdat.is_void();
        bdat.check.add(&input[..count]);
        if remaining == 0 && bdat.last {
            bdat.check.end();
        }
        if let (Void::No, Some(fault)) = (&bdat.void, bdat.check.fault()) {
            bdat.void = Void::Now(refusal_of(fault));
        }
        if !bdat.is_void() {
            content.extend_from_slice(&input[..count]);
        }
        input.advance(count);
        let newly_void = bdat.is_void() && !was_void;
        if remaining > 0 {
            return Some(match (newly_void, count > 0 && !was_void) {
                (true, _) => Step::Abort,
                (false, true) => Step::Content,
                (false, false) => Step::Read,
            });
        }
        self.end_chunk(output, newly_void, count > 0)
    }

    /// Answers a chunk that is complete.
    fn end_chunk(&mut self, output: &mut Vec<u8>, newly_void: bool, has_content: bool) -> Option<Step> {
        let State::Bdat(bdat) = &mut self.state else { return None };
        bdat.remaining = None;
        let last = bdat.last;
        let eight_bit = bdat.check.eight_bit();
        match std::mem::replace(&mut bdat.void, Void::Before) {
            Void::No if last => {
                self.eight_bit = eight_bit;
                self.state = State::Ending;
                return Some(Step::End);
            }
            Void::No => {
                bdat.void = Void::No;
                output.extend_from_slice(reply::OK);
                return has_content.then_some(Step::Content);
            }
            Void::Now(refusal) => refusal.write_to(output),
            Void::Before => refuse(503, 5, 1, "The message was refused before, send RSET").write_to(output),
        }
        if last {
            self.state = State::Ready;
        }
        newly_void.then_some(Step::Abort)
    }
}
