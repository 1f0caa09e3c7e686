//! Foreign programs: as `./test` unpacks them under target/peers, or as they are installed. They run on loopback, in
//! folders of their own, as nobody's service.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

/// Users and groups that the programs insist on, and that this machine need not have.
const USERS: [(&str, u32); 3] = [("postfix", 4201), ("Debian-exim", 4203), ("nsd", 4204)];
const GROUPS: [(&str, u32); 4] = [("postfix", 4201), ("postdrop", 4202), ("Debian-exim", 4203), ("nsd", 4204)];

/// A file tree with foreign programs.
#[derive(Clone, Debug)]
pub struct Peers {
    root: PathBuf,
}

impl Peers {
    /// Programs unpacked below `root`.
    pub fn at(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.canonicalize()? })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is installed on this machine needs no help to find its libraries and users.
    fn is_installed(&self) -> bool {
        self.root == Path::new("/")
    }

    fn library(&self, name: &str) -> String {
        self.root.join("usr/lib/x86_64-linux-gnu").join(name).display().to_string()
    }

    pub fn has(&self, program: &str) -> bool {
        self.root.join(program).exists()
    }

    /// A command that finds its libraries, and dies with this process.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(self.root.join(program));
        if !self.is_installed() {
            let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/postfix"];
            let libraries = libraries.map(|path| self.root.join(path).display().to_string());
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
        }
        command
    }

    /// Variables that let a program see users of its own, and believe that it became them where this process is not
    /// root. The lists of users are written into `folder`.
    pub fn users(&self, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
        if self.is_installed() {
            return Ok(Vec::new());
        }
        let (passwd, group) = lists();
        for (name, ours) in [("passwd", passwd), ("group", group)] {
            let system = fs::read_to_string(Path::new("/etc").join(name))?;
            fs::write(folder.join(name), instead(&ours, &system))?;
        }
        let file = |name: &str| folder.join(name).display().to_string();
        let mut preload = self.library("libnss_wrapper.so");
        let mut variables = vec![("NSS_WRAPPER_PASSWD", file("passwd")), ("NSS_WRAPPER_GROUP", file("group"))];
        if !is_root_of_all() {
            preload = format!("{preload}:{}", self.library("libuid_wrapper.so"));
            variables.extend([("UID_WRAPPER", "1".to_owned()), ("UID_WRAPPER_ROOT", "1".to_owned())]);
        }
        variables.push(("LD_PRELOAD", preload));
        Ok(variables)
    }

    /// Hands a file or folder to the user that a program becomes.
    pub fn give(&self, path: &Path, user: u32, group: u32) -> io::Result<()> {
        if is_root_of_all() { chown(path, Some(user), Some(group)) } else { Ok(()) }
    }
}

/// The number by which a program knows one of its users or groups. Who is not root cannot give files away: there all users
/// are this one, so that the programs find files of their own.
pub fn number(user: u32) -> u32 {
    if is_root_of_all() { user } else { fs::metadata("/proc/self").map_or(user, |metadata| metadata.uid()) }
}

/// The same for groups, but for that of Postfix's setgid programs, which must be another.
pub fn group_number(group: u32) -> u32 {
    const POSTDROP: u32 = 4202;
    if is_root_of_all() || group == POSTDROP {
        return group;
    }
    fs::metadata("/proc/self").map_or(group, |metadata| metadata.gid())
}

/// Lines of passwd(5) and group(5).
fn lists() -> (String, String) {
    let user = |&(name, id): &(&str, u32)| format!("{name}:x:{}:{}::/:/bin/false\n", number(id), group_number(id));
    let group = |&(name, id): &(&str, u32)| format!("{name}:x:{}:\n", group_number(id));
    (USERS.iter().map(user).collect(), GROUPS.iter().map(group).collect())
}

/// Lines of passwd(5) or group(5): ours, and those of the system that have neither a name nor a number of ours. Where the
/// same mail server is installed as well, its user has another number than the files that ours are given.
fn instead(ours: &str, system: &str) -> String {
    fn key(line: &str) -> (Option<&str>, Option<&str>) {
        let mut fields = line.split(':');
        (fields.next(), fields.nth(1))
    }
    let is_ours = |line: &&str| {
        let (name, number) = key(line);
        ours.lines().map(key).any(|(ours, its_number)| name == ours || number == its_number)
    };
    let others = system.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n"));
    ours.to_owned() + &others.collect::<String>()
}

/// Lines of a configuration, such as `option = value`, where `settings` stand in the place of what they set too: Exim
/// refuses to be told twice, and Postfix warns of it so often that its log daemon, which logs to itself, can come to a halt.
pub fn with_settings(lines: &str, settings: &str) -> String {
    let option = |line: &str| line.split([' ', '=']).next().unwrap_or_default().to_owned();
    let is_set = |line: &&str| settings.lines().any(|setting| option(setting) == option(line));
    let kept: String = lines.lines().filter(|line| !is_set(line)).map(|line| format!("{line}\n")).collect();
    kept + settings
}

/// True if this process is root's. A process owns what it finds of itself there (proc(5)).
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// True if this process is root's and there are other users to become: in a user namespace there may be none
/// (user_namespaces(7)).
pub(crate) fn is_root_of_all() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_root() && map.lines().any(|line| line.split_whitespace().last().is_some_and(|count| count != "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_installed_servers_give_way() {
        let system = "root:x:0:0:root:/root:/bin/bash\npostfix:x:101:102::/var/spool/postfix:/usr/sbin/nologin\n\
                      someone:x:4203:4203::/:/bin/sh\n+::::::\n";
        let ours = "postfix:x:4201:4201::/:/bin/false\nDebian-exim:x:4203:4203::/:/bin/false\n";
        let users = instead(ours, system);
        let of = |name: &str| users.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        assert_eq!(of("postfix:"), ["postfix:x:4201:4201::/:/bin/false"]);
        assert_eq!(of("root:"), ["root:x:0:0:root:/root:/bin/bash"]);
        assert_eq!(of("someone:"), [""; 0]);
    }
}
