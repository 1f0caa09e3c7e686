//! Threads for searches: few, and behind the mail.
//!
//! A search reads for as long as a whole core lets it. On a node that is busy, mail would wait for it; so these threads
//! have a low claim on the processor, though not the lowest: a search must end before its asker gives up. What the mail
//! path reads goes by [`Readers`](super::readers::Readers).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{row::store_error, schema::connect_reader};
use crate::{Result, StoreError};

/// Searches at once; others wait for their turn.
const THREADS: usize = 2;
/// As in nice(1); see docs/benchmarks/search.md for what searches cost mail so.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

type Search = Box<dyn FnOnce(&mut Option<Connection>) + Send>;

pub(super) struct Searchers {
    file: PathBuf,
    /// Empty until the first search: most processes never search.
    queue: OnceLock<Sender<Search>>,
}

impl Searchers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, queue: OnceLock::new() }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        search: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let ended = || StoreError::Unavailable { detail: "its threads for searches have ended".to_owned() };
        let (answer, answered) = oneshot::channel();
        let file = self.file.clone();
        let search = move |connection: &mut Option<Connection>| {
            // Whoever asked may have given up while it waited.
            if !answer.is_closed() {
                let found = opened(connection, &file).and_then(search);
                let _ = answer.send(found.map_err(|error| store_error(&error, &file)));
            }
        };
        self.queue.get_or_init(start).send(Box::new(search)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn opened<'a>(connection: &'a mut Option<Connection>, file: &Path) -> rusqlite::Result<&'a Connection> {
    match connection {
        Some(connection) => Ok(connection),
        None => Ok(connection.insert(connect_reader(file)?)),
    }
}

fn start() -> Sender<Search> {
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..THREADS {
        let receiver = Arc::clone(&receiver);
        let spawned = std::thread::Builder::new().name("store search".to_owned()).spawn(move || work(&receiver));
        if let Err(error) = spawned {
            tracing::error!(%error, "failed to start a thread for searches");
        }
    }
    sender
}

fn work(queue: &Mutex<Receiver<Search>>) {
    give_way();
    let mut connection = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(search) = next else { return };
        search(&mut connection);
    }
}

/// Linux has a priority for each thread.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "searches have the priority of mail");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}
