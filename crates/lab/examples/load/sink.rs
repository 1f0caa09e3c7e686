//! Accepts and counts messages. It prints the total at most every 5 ms.

use std::{
    io::{BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use openssl::ssl::{Ssl, SslContext};

use crate::wire::{Result, read_line, read_line_into};

/// More connections than any relay opens at once.
const THREADS: usize = 200;

pub(crate) fn run(address: &str, context: &SslContext) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let messages: Arc<AtomicU64> = Arc::default();
    let counted = Arc::clone(&messages);
    thread::spawn(move || {
        let mut printed = 0;
        loop {
            thread::sleep(Duration::from_millis(5));
            let now = counted.load(Ordering::Relaxed);
            if now != printed {
                println!("{now}");
                printed = now;
            }
        }
    });
    // The threads stay, because OpenSSL seeds a random generator for each new thread.
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (listener, context, messages) = (listener.try_clone()?, context.clone(), Arc::clone(&messages));
            Ok(thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    // Relays may close connections as they like.
                    let _ = receive(client, &context, &messages);
                }
            }))
        })
        .collect::<Result<_>>()?;
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn receive(client: TcpStream, context: &SslContext, messages: &AtomicU64) -> Result<()> {
    client.set_nodelay(true)?;
    let mut plain = BufReader::new(client);
    plain.get_mut().write_all(b"220 sink.test ESMTP\r\n")?;
    read_line(&mut plain)?;
    plain.get_mut().write_all(b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n")?;
    if !read_line(&mut plain)?.starts_with(b"STARTTLS") {
        return Ok(());
    }
    plain.get_mut().write_all(b"220 go ahead\r\n")?;
    let mut stream = BufReader::with_capacity(16 * 1024, Ssl::new(context)?.accept(plain.into_inner())?);
    let mut line = Vec::new();
    loop {
        read_line_into(&mut stream, &mut line)?;
        let reply: &[u8] = match line.get(..4) {
            Some(b"EHLO") => b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            Some(b"DATA") => {
                stream.get_mut().write_all(b"354 go on\r\n")?;
                while read_line_into(&mut stream, &mut line)? != b".\r\n" {}
                messages.fetch_add(1, Ordering::Relaxed);
                b"250 accepted\r\n"
            }
            Some(b"QUIT") => {
                stream.get_mut().write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        // Replies to pipelined commands could be sent together, but the benchmark measures the relay's side.
        stream.get_mut().write_all(reply)?;
    }
}
