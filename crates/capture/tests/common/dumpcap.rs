//! dumpcap, which records packets on loopback, or on the interfaces of a router. In the test's own network namespace, anybody may record.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::peers::Peers;

/// After so long without a packet, all have arrived.
const QUIET: Duration = Duration::from_millis(1500);

/// A running capture.
pub(crate) struct Dumpcap {
    file: PathBuf,
    child: Child,
}

impl Dumpcap {
    /// Records packets that pass the filter (pcap-filter(7)) to a file in the folder.
    pub(crate) fn start(peers: &Peers, folder: &Path, filter: &str) -> Self {
        Self::start_on(peers, folder, &["lo"], filter)
    }

    pub(crate) fn start_on(peers: &Peers, folder: &Path, interfaces: &[&str], filter: &str) -> Self {
        let (file, log) = (folder.join("capture.pcapng"), folder.join("dumpcap.log"));
        let mut child = peers
            .command("usr/bin/dumpcap")
            // A buffer of 64 MiB, so that bursts do not overrun it.
            .arg("-q")
            .args(interfaces.iter().flat_map(|interface| ["-i", interface, "-B", "64", "-f", filter]))
            .arg("-w")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // The first block of the file shows that the capture has started.
        while !fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "dumpcap ended: {}", log());
            assert!(Instant::now() < deadline, "dumpcap did not begin: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
        Self { file, child }
    }

    /// Ends the capture. Returns the file.
    pub(crate) fn stop(mut self) -> PathBuf {
        self.wait_until_quiet();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.child.wait().unwrap();
        self.file
    }

    /// Packets stay in the kernel for a while, longer on a busy machine, and dumpcap leaves those there that it has not read
    /// when it is interrupted.
    fn wait_until_quiet(&self) {
        let size = || fs::metadata(&self.file).unwrap().len();
        let (mut known, mut since, begin) = (size(), Instant::now(), Instant::now());
        while since.elapsed() < QUIET {
            assert!(begin.elapsed() < Duration::from_secs(60), "packets go on coming");
            thread::sleep(Duration::from_millis(50));
            if size() != known {
                (known, since) = (size(), Instant::now());
            }
        }
    }
}
