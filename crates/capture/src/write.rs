//! Writes packets to a pcapng file, each with its own link type and its time to the nanosecond.

use std::io::{self, Write};

use crate::{file::Packet, link::LinkType};

/// Writes pcapng.
pub struct Writer<W> {
    out: W,
    /// In the order of their interface numbers in the file.
    interfaces: Vec<LinkType>,
}

impl<W: Write> Writer<W> {
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut section = Vec::new();
        section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        // Version 1.0. The section's length is unspecified.
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&u64::MAX.to_le_bytes());
        block(&mut out, 0x0a0d_0d0a, &section)?;
        Ok(Self { out, interfaces: Vec::new() })
    }

    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let interface = self.interface(packet.link)?;
        let time = packet.time_ns as u64;
        let mut body = Vec::with_capacity(packet.data.len() + 24);
        body.extend_from_slice(&interface.to_le_bytes());
        body.extend_from_slice(&((time >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(time as u32).to_le_bytes());
        body.extend_from_slice(&(packet.data.len() as u32).to_le_bytes());
        body.extend_from_slice(&packet.length.to_le_bytes());
        body.extend_from_slice(packet.data);
        body.resize(body.len().next_multiple_of(4), 0);
        block(&mut self.out, 6, &body)
    }

    fn interface(&mut self, link: LinkType) -> io::Result<u32> {
        if let Some(number) = self.interfaces.iter().position(|known| *known == link) {
            return Ok(number as u32);
        }
        let mut body = Vec::new();
        body.extend_from_slice(&link.number().to_le_bytes());
        body.extend_from_slice(&[0; 6]);
        // if_tsresol: nanoseconds.
        body.extend_from_slice(&[9, 0, 1, 0, 9, 0, 0, 0]);
        body.extend_from_slice(&[0; 4]);
        block(&mut self.out, 1, &body)?;
        self.interfaces.push(link);
        Ok(self.interfaces.len() as u32 - 1)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}
