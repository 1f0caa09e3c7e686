//! A client that sends one message, as any mail server on the internet does.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Maximum wait for the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a message in plaintext. `content` has CRLF line ends, and none of its lines begins with a dot.
///
/// # Errors
///
/// The text of an unexpected reply.
pub fn send(server: SocketAddr, sender: &str, recipient: &str, content: &str) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    expect(&mut reader, '2')?;
    let commands = [
        ("EHLO client.test\r\n".to_owned(), '2'),
        (format!("MAIL FROM:<{sender}>\r\n"), '2'),
        (format!("RCPT TO:<{recipient}>\r\n"), '2'),
        ("DATA\r\n".to_owned(), '3'),
        (format!("{content}\r\n.\r\n"), '2'),
        ("QUIT\r\n".to_owned(), '2'),
    ];
    for (command, reply) in commands {
        reader.get_mut().write_all(command.as_bytes())?;
        expect(&mut reader, reply)?;
    }
    Ok(())
}

/// Reads a reply with all its lines.
fn expect(reader: &mut BufReader<TcpStream>, class: char) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.starts_with(class) {
            return Err(io::Error::other(line.trim_end().to_owned()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
