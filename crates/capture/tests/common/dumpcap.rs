//! dumpcap, which records what goes over loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::peers::{Peers, is_root};

/// A capture that goes on.
pub(crate) struct Dumpcap {
    file: PathBuf,
    child: Child,
}

impl Dumpcap {
    /// Packets that pass the filter, in the words of pcap-filter(7), into a file of the folder.
    pub(crate) fn start(peers: &Peers, folder: &Path, filter: &str) -> Self {
        let (file, log) = (folder.join("capture.pcapng"), folder.join("dumpcap.log"));
        let mut child = dumpcap(peers)
            // Whoever sends much at once must not overrun the kernel's buffer: 64 MiB.
            .args(["-q", "-i", "lo", "-B", "64", "-f", filter, "-w"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // The file's first block is written when the capture has begun.
        while !fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "dumpcap ended (it needs root, or sudo): {}", log());
            assert!(Instant::now() < deadline, "dumpcap did not begin: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
        Self { file, child }
    }

    /// Ends it; the file.
    pub(crate) fn stop(mut self) -> PathBuf {
        // Packets wait in the kernel for a while.
        thread::sleep(Duration::from_millis(1500));
        let kill = if is_root() { vec!["kill"] } else { vec!["sudo", "-n", "kill"] };
        let id = self.child.id().to_string();
        assert!(Command::new(kill[0]).args(&kill[1..]).args(["-INT", &id]).status().unwrap().success());
        self.child.wait().unwrap();
        self.file
    }
}

fn dumpcap(peers: &Peers) -> Command {
    let command = peers.command("usr/bin/dumpcap");
    if is_root() {
        return command;
    }
    // Sniffing is root's; sudo forgets the libraries unless told.
    let libraries = command.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").unwrap().1.unwrap();
    let variable = format!("LD_LIBRARY_PATH={}", libraries.to_str().unwrap());
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "env", &variable]).arg(peers.root().join("usr/bin/dumpcap"));
    sudo
}
