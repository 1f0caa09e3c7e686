//! Bodies: the content of messages, as long as it may still be sent.

use std::future::Future;

use bytes::Bytes;

use crate::{Epoch, Member, MessageKey, Result};

/// The content of messages on their way in and out.
pub trait Bodies {
    /// A key for a body that this member will write piece by piece. Bodies that were never accepted are deleted once
    /// their member is known to be dead.
    fn new_body(&self, member: &Member) -> impl Future<Output = Result<BodyKey>> + Send;

    /// Writes one piece of a body that is too large for [`Content::Inline`]. Pieces come in order, from 0.
    /// Durable no later than the `accept` that names the body.
    fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Deletes the pieces of a body that will not be accepted.
    fn discard_body(&self, body: BodyKey) -> impl Future<Output = Result<()>> + Send;

    /// Piece `sequence` of a body, from 0; `None` after the last. An inline body is one piece.
    /// A piece that must be there and is not is an error, and so is the end if the message is not in the queue (any more):
    /// [`NotQueued`](crate::StoreError::NotQueued). What was read is not the whole message then.
    fn read_body(&self, message: MessageKey, sequence: u32) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Deletes bodies that no message needs any more, if they are outside the store's own files. Returns how many.
    fn clean_bodies(&self) -> impl Future<Output = Result<u64>> + Send;
}

/// Where a message's content is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Small enough to be written with the message: up to [`INLINE_BODY_BYTES_MAX`].
    Inline(Bytes),
    Stored(BodyKey),
}

/// A body that was written piece by piece.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BodyKey {
    /// The key of the message that will own it.
    pub message: MessageKey,
    /// Who writes it.
    pub owner: Epoch,
}

/// Larger bodies are written in pieces of at most this size.
pub const INLINE_BODY_BYTES_MAX: usize = 256 * 1024;
