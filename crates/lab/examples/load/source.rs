//! Sends messages as fast as the other end accepts them, over a fixed number of sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::wire::{Client, Result};

pub(crate) fn run(client: Client, sessions: usize, messages: u64, per_connection: u64) -> Result<()> {
    let shared = Arc::new((client, AtomicU64::new(messages)));
    let threads: Vec<_> = (0..sessions)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared.0, &shared.1, per_connection))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a session panicked")??;
    }
    Ok(())
}

fn work(client: &Client, left: &AtomicU64, per_connection: u64) -> Result<()> {
    while take(left) {
        let mut connection = client.connect()?;
        for number in 1.. {
            client.send(&mut connection)?;
            if number >= per_connection || !take(left) {
                break;
            }
        }
        connection.quit()?;
    }
    Ok(())
}

fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
