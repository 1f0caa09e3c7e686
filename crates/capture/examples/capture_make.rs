//! Creates a capture of SMTP and TLS for benchmarks, the same each time: `capture_make FILE MEGABYTES`.
//!
//! Connections run sixteen at a time. A third sends a message of about 20 KB over SMTP in plaintext, and the others
//! send as much over TLS. One segment in a hundred is sent twice, and some acknowledgments are repeated.

use std::{
    env,
    fs::File,
    io::{self, BufWriter, Write},
};

const SMTP: u16 = 25;
const AT_A_TIME: u32 = 16;
const CONTENT_SEGMENTS: u32 = 14;
const SEGMENT: usize = 1448;

struct Maker<W> {
    out: W,
    written: u64,
    clock_us: u64,
    random: u64,
}

/// One connection's numbers.
struct Connection {
    port: u16,
    client: u32,
    sequence: [u32; 2],
    /// The remaining parts of the dialogue: sender and bytes.
    script: Vec<(usize, Vec<u8>)>,
    next: usize,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, file, megabytes] = arguments.as_slice() else {
        eprintln!("usage: capture_make FILE MEGABYTES");
        std::process::exit(2);
    };
    let bytes = megabytes.parse::<u64>().unwrap_or(100) * 1_000_000;
    let mut maker =
        Maker { out: BufWriter::with_capacity(1 << 20, File::create(file)?), written: 0, clock_us: 0, random: 1 };
    maker.header()?;
    let mut number = 0;
    let mut running: Vec<Connection> = Vec::new();
    while maker.written < bytes {
        while running.len() < AT_A_TIME as usize {
            running.push(maker.open(number)?);
            number += 1;
        }
        let at = maker.draw() as usize % running.len();
        if !maker.step(&mut running[at])? {
            running.swap_remove(at);
        }
    }
    maker.out.flush()
}

impl<W: Write> Maker<W> {
    fn draw(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as u32
    }

    fn header(&mut self) -> io::Result<()> {
        let mut header = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        header.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        self.put(&header)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn open(&mut self, number: u32) -> io::Result<Connection> {
        let mut connection = Connection {
            port: 10_000 + (number % 50_000) as u16,
            client: 0x0a00_0000 + number / 50_000 * 256 + 5,
            sequence: [self.draw(), self.draw()],
            script: script(number),
            next: 0,
        };
        self.segment(&mut connection, 0, 0x02, &[])?;
        self.segment(&mut connection, 1, 0x12, &[])?;
        self.segment(&mut connection, 0, 0x10, &[])?;
        Ok(connection)
    }

    /// Sends the next piece of the dialogue, with its acknowledgment. False at the end.
    fn step(&mut self, connection: &mut Connection) -> io::Result<bool> {
        let Some((from, bytes)) = connection.script.get(connection.next).cloned() else {
            self.segment(connection, 0, 0x11, &[])?;
            self.segment(connection, 1, 0x11, &[])?;
            self.segment(connection, 0, 0x10, &[])?;
            return Ok(false);
        };
        connection.next += 1;
        for piece in bytes.chunks(SEGMENT) {
            self.segment(connection, from, 0x18, piece)?;
            if self.draw().is_multiple_of(100) {
                connection.sequence[from] = connection.sequence[from].wrapping_sub(piece.len() as u32);
                self.clock_us += 200_000;
                self.segment(connection, from, 0x18, piece)?;
            }
        }
        self.segment(connection, 1 - from, 0x10, &[])?;
        if self.draw().is_multiple_of(200) {
            self.segment(connection, 1 - from, 0x10, &[])?;
        }
        Ok(true)
    }

    fn segment(&mut self, connection: &mut Connection, from: usize, flags: u8, payload: &[u8]) -> io::Result<()> {
        self.clock_us += 20;
        let total = 40 + payload.len();
        let mut packet = Vec::with_capacity(16 + 14 + total);
        packet.extend_from_slice(&((1_700_000_000 + self.clock_us / 1_000_000) as u32).to_le_bytes());
        packet.extend_from_slice(&((self.clock_us % 1_000_000) as u32).to_le_bytes());
        packet.extend_from_slice(&(14 + total as u32).to_le_bytes());
        packet.extend_from_slice(&(14 + total as u32).to_le_bytes());
        packet.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&(total as u16).to_be_bytes());
        packet.extend_from_slice(&(self.clock_us as u16).to_be_bytes());
        packet.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
        let (client, server) = (connection.client.to_be_bytes(), [10, 1, 0, 25]);
        let (source, destination) = if from == 0 { (client, server) } else { (server, client) };
        packet.extend_from_slice(&source);
        packet.extend_from_slice(&destination);
        let ports = if from == 0 { [connection.port, SMTP] } else { [SMTP, connection.port] };
        ports.iter().for_each(|port| packet.extend_from_slice(&port.to_be_bytes()));
        packet.extend_from_slice(&connection.sequence[from].to_be_bytes());
        let acknowledgment = if flags & 0x10 == 0 { 0 } else { connection.sequence[1 - from] };
        packet.extend_from_slice(&acknowledgment.to_be_bytes());
        packet.extend_from_slice(&[0x50, flags]);
        packet.extend_from_slice(&64_240_u16.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        let counted = u32::from(flags & 0x03 != 0);
        connection.sequence[from] = connection.sequence[from].wrapping_add(payload.len() as u32).wrapping_add(counted);
        self.put(&packet)
    }
}

/// The dialogue.
fn script(number: u32) -> Vec<(usize, Vec<u8>)> {
    let say = |from: usize, text: &str| (from, text.as_bytes().to_vec());
    let mut script = vec![
        say(1, "220 mail.onprem.example ESMTP\r\n"),
        say(0, "EHLO edge.gateway.example\r\n"),
        say(1, "250-mail.onprem.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 STARTTLS\r\n"),
    ];
    let content = vec![b'x'; SEGMENT * CONTENT_SEGMENTS as usize];
    if number.is_multiple_of(3) {
        script.push(say(0, "MAIL FROM:<a@partner.example> SIZE=20000\r\nRCPT TO:<b@onprem.example>\r\nDATA\r\n"));
        script.push(say(1, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"));
        script.push((0, content));
        script.push(say(0, "\r\n.\r\n"));
        script.push(say(1, "250 2.0.0 Ok: queued\r\n"));
        return script;
    }
    script.push(say(0, "STARTTLS\r\n"));
    script.push(say(1, "220 2.0.0 Ready to start TLS\r\n"));
    script.push((0, record(22, &hello(1, &[0, 4, 0, 5, 0, 10, 0xc0, 0x2f]))));
    script.push((1, record(22, &hello(2, &[0, 5]))));
    script.push((1, record(22, &[14, 0, 0, 0])));
    script.push((0, [record(22, &[16, 0, 0, 2, 1, 2]), record(20, &[1]), record(22, &[7; 40])].concat()));
    script.push((1, [record(20, &[1]), record(22, &[7; 40])].concat()));
    for chunk in content.chunks(8192) {
        script.push((0, record(23, chunk)));
    }
    script.push((1, record(23, &[9; 60])));
    script
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 1];
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A hello of TLS 1.0: the client's with a list of suites, the server's with one.
fn hello(kind: u8, suites: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 1];
    body.extend_from_slice(&[0x5a; 32]);
    body.push(0);
    if kind == 1 {
        body.extend_from_slice(&(suites.len() as u16).to_be_bytes());
        body.extend_from_slice(suites);
        body.extend_from_slice(&[1, 0]);
    } else {
        body.extend_from_slice(suites);
        body.push(0);
    }
    let length = (body.len() as u32).to_be_bytes();
    [&[kind, length[1], length[2], length[3]], body.as_slice()].concat()
}
