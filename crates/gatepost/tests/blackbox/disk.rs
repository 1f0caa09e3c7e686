//! A disk that is full: by the queue itself, by others, and from the start; and a store that was taken away. Small disks
//! are tmpfs in a mount namespace of the test's own, for which it must be root or be allowed user namespaces.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::namespace::unshare;
use tempfile::TempDir;

use crate::support::{
    Node, free_port,
    script::{Client, Destination},
    wait_for,
};

const INSIDE: &str = "GATEPOST_TEST_IN_OWN_MOUNTS";
const RETRY: &str = "schedule = [\"1s\"]\nback_off_first = \"1s\"\nback_off_max = \"1s\"\n";

/// Runs the calling test once more in a mount namespace. True there; false outside, when all is done.
pub(crate) fn in_own_mounts(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = unshare(&["--mount"]);
    command.arg(env::current_exe().unwrap());
    let status = command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "{test} failed in a mount namespace of its own, which needs root or user namespaces");
    false
}

/// A file system of so many MiB, with a data folder in it.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// A folder in it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.0.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Another program's file takes all that is left.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.path().join("foreign");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// One message of about so many bytes; the reply to its end, or to what was refused before.
fn send(client: &mut Client, bytes: usize) -> String {
    for line in ["RSET", "MAIL FROM:<alice@partner.test>", "RCPT TO:<user@onprem.test>"] {
        assert!(client.say(line).starts_with("250"), "{line}");
    }
    let reply = client.say("DATA");
    if !reply.starts_with("354") {
        return reply;
    }
    // In one piece: a second one would wait for the acknowledgement of the first.
    client.say(&format!("{}.", format!("{}\r\n", "x".repeat(98)).repeat(bytes / 100)))
}

fn connect(node: &Node) -> Client {
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    client
}

/// Sends until the first refusal; how many were accepted.
fn fill_by_mail(node: &Node, bytes: usize) -> usize {
    let mut client = connect(node);
    for accepted in 0.. {
        let reply = send(&mut client, bytes);
        if !reply.starts_with("250") {
            assert!(reply.starts_with("452 4.3.1"), "{reply}");
            return accepted;
        }
    }
    unreachable!()
}

/// Every command that reads.
fn all_commands_work(node: &Node) {
    let id = node.queue().first().expect("mail waits")["network_message_id"].as_str().unwrap().to_owned();
    for arguments in [
        &["queue", "list"][..],
        &["queue", "show", &id],
        &["queue", "export", &id],
        &["trace", "--limit", "20", "--detail"],
        &["why"],
        &["incident", "list"],
        &["policy", "list"],
        &["policy", "ledger"],
        &["policy", "impact", "modern"],
        &["rollout", "status"],
        &["config", "check"],
    ] {
        let output = node.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {text}");
    }
}

fn wait_until_delivered(node: &Node, destination: &Destination, expected: usize) -> Duration {
    let started = Instant::now();
    let delivered = || destination.heard().iter().filter(|line| *line == ".").count();
    while delivered() < expected || !node.queue().is_empty() {
        let (delivered, seconds) = (delivered(), started.elapsed().as_secs());
        assert!(seconds < 300, "only {delivered} of {expected} delivered after {seconds} s");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(delivered(), expected, "a duplicate");
    started.elapsed()
}

pub(crate) fn takes_mail(node: &Node) -> bool {
    send(&mut connect(node), 2000).starts_with("250")
}

#[test]
fn namespace_a_disk_filled_by_the_queue_drains() {
    if in_own_mounts("disk::namespace_a_disk_filled_by_the_queue_drains") {
        fill_and_drain(30, 24_000);
        // Too large to be kept in memory: written piece by piece.
        fill_and_drain(30, 600_000);
    }
}

/// Small messages leave more behind in the history than their content takes.
#[test]
fn namespace_a_disk_filled_by_small_messages_drains() {
    if in_own_mounts("disk::namespace_a_disk_filled_by_small_messages_drains") {
        fill_and_drain(12, 300);
    }
}

/// Each message in the queue is followed by a notice, which waits there as well.
#[test]
fn soak_a_full_disk_has_room_for_notices_of_delay() {
    if !in_own_mounts("disk::soak_a_full_disk_has_room_for_notices_of_delay") {
        return;
    }
    let (disk, port) = (Disk::new(12), free_port());
    let retry = format!("{RETRY}delay_notice = \"15s\"\n");
    let node = Node::to_port(port)
        .data(&disk.data())
        .retry(&retry)
        .more("[notices]\nconnector = \"onprem\"\nper_sender = \"100000/h\"\n")
        .start();
    let accepted = fill_by_mail(&node, 1000);
    // To list thousands of messages takes from the node's time: seldom. It fails when no more notices come.
    let (mut waiting, mut grew) = (0, Instant::now());
    while waiting < 2 * accepted {
        thread::sleep(Duration::from_secs(4));
        let now = node.queue().len();
        if now > waiting {
            (waiting, grew) = (now, Instant::now());
        }
        assert!(grew.elapsed() < Duration::from_secs(90), "{waiting} wait of {accepted} and as many notices");
    }
    let free = disk.free();
    let destination = Destination::on(port);
    wait_until_delivered(&node, &destination, 2 * accepted);
    println!("{accepted} messages and notices of their delay: {free} bytes were free, {} are now", disk.free());
}

#[test]
fn soak_a_larger_disk_filled_by_the_queue_drains() {
    if in_own_mounts("disk::soak_a_larger_disk_filled_by_the_queue_drains") {
        fill_and_drain(300, 24_000);
        fill_and_drain(300, 1000);
    }
}

fn fill_and_drain(mebibytes: u32, message_bytes: usize) {
    let (disk, port) = (Disk::new(mebibytes), free_port());
    let mut node = Node::to_port(port).data(&disk.data()).retry(RETRY).start();
    let mut accepted = fill_by_mail(&node, message_bytes);
    let free = disk.free();
    assert!(accepted > 10, "only {accepted} accepted");
    // Retries go on and on.
    thread::sleep(Duration::from_secs(5));
    all_commands_work(&node);
    let free_later = disk.free();
    assert!(free_later > u64::from(mebibytes) << 14, "{free_later} bytes are free after retries, {free} before");
    node.kill();
    assert_eq!(node.queue().len(), accepted);
    node.start();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    assert_eq!(node.queue().len(), accepted);
    node.start();
    // What the log had taken is free again.
    accepted += fill_by_mail(&node, message_bytes);
    let destination = Destination::on(port);
    wait_for("the first deliveries", || (destination.heard().len() > 10).then_some(()));
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    node.start();
    let duration = wait_until_delivered(&node, &destination, accepted);
    wait_for("mail to be taken again", || takes_mail(&node).then_some(()));
    // Free pages are given back to the disk, until there is room for logs.
    wait_for("an eighth of the disk to be free", || (disk.free() > u64::from(mebibytes) << 17).then_some(()));
    println!(
        "{mebibytes} MiB, messages of {message_bytes}: {accepted} accepted until 452 with {free} bytes free, \
         {free_later} after retries; drained in {duration:?}, {} free then",
        disk.free()
    );
}

#[test]
fn namespace_a_disk_filled_by_others_is_lived_through() {
    if !in_own_mounts("disk::namespace_a_disk_filled_by_others_is_lived_through") {
        return;
    }
    let (disk, port) = (Disk::new(30), free_port());
    let mut node = Node::to_port(port).data(&disk.data()).retry(RETRY).start();
    let mut client = connect(&node);
    for _ in 0..100 {
        assert!(send(&mut client, 24_000).starts_with("250"));
    }
    let foreign = disk.fill();
    wait_for("a refusal", || (!takes_mail(&node)).then_some(()));
    let late = node.queue().len();
    all_commands_work(&node);
    node.kill();
    all_commands_work(&node);
    node.start();
    let destination = Destination::on(port);
    wait_until_delivered(&node, &destination, late);
    assert!(foreign.exists() && !takes_mail(&node), "there is still no room");
    fs::remove_file(foreign).unwrap();
    wait_for("mail to be taken again", || takes_mail(&node).then_some(()));
    let reserve = || fs::metadata(disk.data().join("reserve")).is_ok_and(|reserve| reserve.len() > 0);
    wait_for("the reserve", || reserve().then_some(()));
}

#[test]
fn namespace_a_node_starts_on_a_full_disk() {
    if !in_own_mounts("disk::namespace_a_node_starts_on_a_full_disk") {
        return;
    }
    let (disk, port) = (Disk::new(30), free_port());
    // A new store cannot be made there, and nothing of it is left in the way of a later start.
    fs::create_dir(disk.data()).unwrap();
    let foreign = disk.fill();
    let refused = Node::to_port(port).data(&disk.data()).retry(RETRY);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.toml"), refused.configuration(free_port())).unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["serve", "--config"])
        .arg(folder.path().join("gatepost.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&serve.stderr).into_owned();
    assert_eq!(serve.status.code(), Some(2), "{text}");
    assert!(text.contains("disk of the data folder is full"), "{text}");
    fs::remove_file(foreign).unwrap();

    let mut node = Node::to_port(port).data(&disk.data()).retry(RETRY).start();
    assert!(takes_mail(&node));
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    let foreign = disk.fill();
    all_commands_work(&node);
    node.start();
    assert!(!takes_mail(&node));
    all_commands_work(&node);
    wait_until_delivered(&node, &Destination::on(port), 1);
    fs::remove_file(foreign).unwrap();
    wait_for("mail to be taken again", || takes_mail(&node).then_some(()));
}

#[test]
fn nothing_is_accepted_into_a_store_that_is_gone() {
    let destination = Destination::taking(|_, _| None);
    let mut node = Node::to_port(destination.port).start();
    assert!(takes_mail(&node));
    node.wait_until_empty();
    let (data, aside) = (node.path("data"), node.path("aside"));
    fs::rename(&data, &aside).unwrap();
    let mut client = connect(&node);
    for _ in 0..20 {
        let reply = send(&mut client, 2000);
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
    }
    assert!(node.log().contains("was moved, removed or replaced under the running process"), "{}", node.log());
    fs::rename(&aside, &data).unwrap();
    assert!(send(&mut client, 2000).starts_with("250"), "put back, it works again");
    fs::remove_file(data.join("gatepost.db")).unwrap();
    let reply = send(&mut client, 2000);
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    node.kill();

    // What is missing is not started as an empty queue.
    for arguments in [&["serve"][..], &["queue", "list"]] {
        let output = node.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("gatepost.db is missing") && text.contains("gatepost serve --accept-loss"), "{text}");
    }
    node.start_with(|mut command| {
        command.arg("--accept-loss");
        command
    });
    assert!(takes_mail(&node));
}

#[test]
fn root_a_store_that_may_not_be_read_is_called_so() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).start();
    // Everything up to the data folder may be read by anybody.
    let open = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    };
    open(node.path("data").parent().unwrap());
    let binary = node.path("gatepost");
    fs::copy(env!("CARGO_BIN_EXE_gatepost"), &binary).unwrap();
    open(&binary);
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["queue", "list", "--config"])
        .arg(node.path("gatepost.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot be read (Permission denied"), "{text}");
}
