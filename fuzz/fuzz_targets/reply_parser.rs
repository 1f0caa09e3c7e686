//! Any bytes as replies, whole and byte by byte: no panic, and the same replies.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::smtp::{
    Reply,
    client::{ReplyError, ReplyParser},
};

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Reply, ReplyError>> {
    let (mut parser, mut input, mut replies) = (ReplyParser::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.parse(&mut input) {
                Ok(None) => break,
                Ok(Some(reply)) => replies.push(Ok(reply)),
                Err(error) => {
                    replies.push(Err(error));
                    return replies;
                }
            }
        }
    }
    replies
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(run(std::iter::once(bytes)), run(bytes.chunks(1)));
});
