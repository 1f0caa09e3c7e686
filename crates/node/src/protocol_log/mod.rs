//! SMTP protocol logs: the commands and replies of every connection, in Exchange's format. There is one log for sending
//! and one for receiving.
//!
//! ```text
//!   connections ──rows──> buffer in memory ──every 100 ms──> Writer (a thread) ──> SmtpSend/SEND2026112508-1.LOG
//! ```
//!
//! Invariants: mail never waits for a log and never fails because of one. Rows that do not fit into the buffer are
//! dropped and counted. When the disk is nearly full, the logs leave the rest to mail. The logs contain no passwords
//! and no message content.

mod folder;
mod session;
mod writer;

use std::{
    fs::DirBuilder,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use net::Transcript;
use trace::protocol_log::LogType;

use crate::config::ProtocolLog;
use folder::Limits;
use session::SessionLog;
use writer::Log;

/// True while the logs must not be written.
type GivesWay = Arc<dyn Fn() -> bool + Send + Sync>;

/// The two logs of a node.
pub struct ProtocolLogs {
    send: Log,
    send_folder: PathBuf,
    receive: Log,
    /// Whether sessions of clients are logged.
    receive_wanted: AtomicBool,
}

impl ProtocolLogs {
    /// `data` is the node's data folder, which contains the logs unless the settings name another folder. In the data
    /// folder, the logs are not written while `gives_way` returns true, because the disk is nearly full.
    pub fn start(settings: &ProtocolLog, data: &Path, gives_way: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let limits = limits(settings);
        let is_with_mail = settings.folder.is_none();
        if let Some(folder) = &settings.folder
            && let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "failed to create the folder of the protocol logs");
        }
        let gives_way: GivesWay = Arc::new(move || is_with_mail && gives_way());
        let send_folder = send_folder(settings, data);
        Self {
            send: Log::start(LogType::Send, send_folder.clone(), limits, Arc::clone(&gives_way)),
            send_folder,
            receive: Log::start(LogType::Receive, receive_folder(settings, data), limits, gives_way),
            receive_wanted: AtomicBool::new(settings.receive),
        }
    }

    /// The folder of the log of sending.
    pub(crate) fn send_folder(&self) -> &Path {
        &self.send_folder
    }

    /// Applies new settings. The folder does not change.
    pub fn configure(&self, settings: &ProtocolLog) {
        self.send.limit(limits(settings));
        self.receive.limit(limits(settings));
        self.receive_wanted.store(settings.receive, Ordering::Relaxed);
    }

    /// The log of one connection to a destination.
    pub fn send_session(&self, connector: &str, session: u64, remote: SocketAddr) -> Box<dyn Transcript> {
        Box::new(SessionLog::sending(Arc::clone(&self.send.buffer), connector, session, remote))
    }

    /// The log of one client's connection, if it is logged.
    pub fn receive_session(&self, connector: &str, session: u64, client: SocketAddr) -> Option<Box<dyn Transcript>> {
        self.receive_wanted.load(Ordering::Relaxed).then(|| -> Box<dyn Transcript> {
            Box::new(SessionLog::receiving(Arc::clone(&self.receive.buffer), connector, session, client))
        })
    }

    /// Rows that were not written since the start, because the disk was too slow, too full, or failed.
    pub(crate) fn lost_rows(&self) -> u64 {
        self.send.lost_rows() + self.receive.lost_rows()
    }

    /// Writes the rows that are still in memory.
    pub fn close(&self) {
        self.send.close();
        self.receive.close();
    }
}

/// The folder of the sessions with destinations.
pub fn send_folder(settings: &ProtocolLog, data: &Path) -> PathBuf {
    base(settings, data).join("SmtpSend")
}

/// The folder of the sessions with clients.
pub fn receive_folder(settings: &ProtocolLog, data: &Path) -> PathBuf {
    base(settings, data).join("SmtpReceive")
}

/// The folders of the sessions with clients of all nodes whose data is on this machine: this node's, and those of other
/// nodes of the fleet beside or in its data folder. Each folder exists.
pub fn receive_folders(settings: &ProtocolLog, data: &Path, nodes: &[String]) -> Vec<PathBuf> {
    let places = data.parent().into_iter().chain([data]);
    let others = places.flat_map(|place| nodes.iter().map(move |node| place.join(node)));
    let others = others.map(|data| receive_folder(&ProtocolLog::default(), &data));
    let mut folders = vec![receive_folder(settings, data)];
    for folder in others.filter(|folder| folder.is_dir()) {
        // A path may lead to the same folder in other words.
        let is_same = |known: &PathBuf| known.canonicalize().ok() == folder.canonicalize().ok();
        if !folders.iter().any(is_same) {
            folders.push(folder);
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

fn base(settings: &ProtocolLog, data: &Path) -> PathBuf {
    match &settings.folder {
        Some(folder) => folder.clone(),
        None => data.join("protocol-log"),
    }
}

fn limits(settings: &ProtocolLog) -> Limits {
    Limits {
        file_bytes: settings.file_size_max.bytes(),
        folder_bytes: settings.folder_size_max.bytes(),
        age: *settings.age_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_logs_of_all_nodes_on_this_machine_are_found_once() {
        let all = std::env::temp_dir().join(format!("gatepost-receive-{}", std::process::id()));
        let folder = |data: &str| receive_folder(&ProtocolLog::default(), &all.join(data));
        for data in ["mx1", "mx2", "mx1/mx3", "stranger"] {
            std::fs::create_dir_all(folder(data)).unwrap();
        }
        let nodes = ["mx1", "mx2", "mx3", "mx4"].map(str::to_owned);
        let found = receive_folders(&ProtocolLog::default(), &all.join("mx1"), &nodes);
        std::fs::remove_dir_all(&all).unwrap();
        assert_eq!(found, [folder("mx1"), folder("mx2"), folder("mx1/mx3")]);
    }
}
