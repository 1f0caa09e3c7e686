//! dumpcap, which records what goes over loopback. In a network namespace of the test's own anybody may record.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::peers::Peers;

/// A capture that goes on.
pub(crate) struct Dumpcap {
    file: PathBuf,
    child: Child,
}

impl Dumpcap {
    /// Packets that pass the filter, in the words of pcap-filter(7), into a file of the folder.
    pub(crate) fn start(peers: &Peers, folder: &Path, filter: &str) -> Self {
        let (file, log) = (folder.join("capture.pcapng"), folder.join("dumpcap.log"));
        let mut child = peers
            .command("usr/bin/dumpcap")
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
            assert!(child.try_wait().unwrap().is_none(), "dumpcap ended: {}", log());
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
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.child.wait().unwrap();
        self.file
    }
}
