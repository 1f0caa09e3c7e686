//! Looks into a ClientHello before OpenSSL reads it (RFC 8446 section 4.1.2).

use std::{io, net::TcpStream, thread, time::Duration};

/// A fatal alert in a record of its own.
pub(crate) const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const RECORD_HEADER: usize = 5;
const RECORD_BYTES_MAX: usize = RECORD_HEADER + (1 << 14);

/// Whether the client offers a session ticket or a pre-shared key. The bytes stay in the socket.
pub(crate) fn resumes(stream: &TcpStream) -> io::Result<bool> {
    let mut bytes = vec![0; RECORD_BYTES_MAX];
    loop {
        let length = stream.peek(&mut bytes)?;
        let record = bytes.get(..length).unwrap_or_default();
        let whole = record.get(3..RECORD_HEADER).map_or(RECORD_HEADER, |length| RECORD_HEADER + number(length));
        if length == 0 || record.len() >= whole.min(RECORD_BYTES_MAX) {
            return Ok(extensions(record).is_some_and(offers_a_session));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Big-endian.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Takes a vector whose length is in its first `width` bytes.
fn vector<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(width)?;
    let (vector, after) = after.split_at_checked(number(length))?;
    *rest = after;
    Some(vector)
}

fn extensions(record: &[u8]) -> Option<&[u8]> {
    // Record, handshake header, version and random.
    let mut rest = record.get(RECORD_HEADER + 4 + 2 + 32..)?;
    vector(&mut rest, 1)?;
    vector(&mut rest, 2)?;
    vector(&mut rest, 1)?;
    vector(&mut rest, 2)
}

fn offers_a_session(mut extensions: &[u8]) -> bool {
    while let Some((kind, after)) = extensions.split_at_checked(2) {
        extensions = after;
        let Some(data) = vector(&mut extensions, 2) else { return false };
        match number(kind) as u16 {
            PRE_SHARED_KEY => return true,
            // A client that supports tickets and has none sends an empty one (RFC 5077 section 3.2).
            SESSION_TICKET if !data.is_empty() => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a ClientHello that has these extensions.
    fn record(list: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER + 4 + 2 + 32];
        // No session id, one cipher suite, no compression.
        record.extend([0, 0, 2, 0x13, 1, 1, 0]);
        record.extend((list.len() as u16).to_be_bytes());
        record.extend(list);
        record
    }

    #[test]
    fn tickets_and_keys_are_found() {
        for (list, expected) in [
            (&[][..], false),
            (&[0, 35, 0, 0], false),
            (&[0, 35, 0, 1, 7], true),
            (&[0, 43, 0, 1, 7, 0, 41, 0, 1, 7], true),
            (&[0, 43, 0, 9, 7], false),
        ] {
            assert_eq!(extensions(&record(list)).is_some_and(offers_a_session), expected, "{list:?}");
        }
        assert_eq!(extensions(&[22, 3, 1]), None);
    }
}
