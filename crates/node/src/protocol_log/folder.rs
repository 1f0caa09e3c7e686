//! The files of one log: a new file every hour and whenever a file reaches the limit. The oldest files are deleted
//! first.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};
use trace::protocol_log::{self, LogType};

/// Limits of the log's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub(super) file_bytes: u64,
    pub(super) folder_bytes: u64,
    pub(super) age: Duration,
}

/// Each log uses at most one part in this many of its disk, but may always use this many bytes.
const DISK_SHARE: u64 = 16;
const DISK_SHARE_BYTES_MIN: u64 = 1024 * 1024;

impl Limits {
    fn on_disk_of(&self, folder: &Path) -> Self {
        let total = rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_blocks * disk.f_frsize);
        let share = if total == 0 { u64::MAX } else { (total / DISK_SHARE).max(DISK_SHARE_BYTES_MIN) };
        let folder_bytes = self.folder_bytes.min(share);
        Self { folder_bytes, file_bytes: self.file_bytes.min(folder_bytes / 4), age: self.age }
    }
}

/// A log's folder and its current file.
pub(super) struct Folder {
    path: PathBuf,
    log_type: LogType,
    current: Option<Current>,
}

struct Current {
    file: File,
    /// `yyyymmddhh`, UTC.
    hour: String,
    bytes: u64,
}

impl Folder {
    pub(super) fn new(path: PathBuf, log_type: LogType) -> Self {
        Self { path, log_type, current: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole rows. After an error the next call starts a new file.
    pub(super) fn append(&mut self, rows: &[u8], now: Timestamp, limits: &Limits) -> io::Result<()> {
        let limits = &limits.on_disk_of(&self.path);
        let hour = now.to_zoned_datetime(TimeZone::UTC).strftime("%Y%m%d%H").to_string();
        let fits = |current: &Current| current.hour == hour && current.bytes < limits.file_bytes;
        if !self.current.as_ref().is_some_and(fits) {
            self.current = None;
            self.prune(now, limits);
            self.current = Some(self.begin(hour, now)?);
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.bytes += rows.len() as u64;
        let written = current.file.write_all(rows);
        if written.is_err() {
            self.current = None;
        }
        written
    }

    fn prefix(&self) -> &'static str {
        match self.log_type {
            LogType::Send => "SEND",
            LogType::Receive => "RECV",
        }
    }

    /// Creates the log's folder and the one around it. A missing data folder stays missing: it was moved away, and a new
    /// one in its place would keep it from being put back.
    fn create(&self) -> io::Result<()> {
        for folder in self.path.parent().into_iter().chain([self.path.as_path()]) {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Creates the next file of that hour.
    fn begin(&self, hour: String, now: Timestamp) -> io::Result<Current> {
        self.create()?;
        for number in 1u32.. {
            let path = self.path.join(format!("{}{hour}-{number}.LOG", self.prefix()));
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    let header = protocol_log::header(self.log_type, now);
                    if let Err(error) = file.write_all(header.as_bytes()) {
                        // Otherwise a full disk would get an empty file at each attempt.
                        let _ = fs::remove_file(&path);
                        return Err(error);
                    }
                    return Ok(Current { file, hour, bytes: header.len() as u64 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no file name is left for this hour"))
    }

    /// Deletes files that are too old, and the oldest ones if there is no room for another file. It never deletes files
    /// of others.
    fn prune(&self, now: Timestamp, limits: &Limits) {
        let files = self.files();
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let oldest = SystemTime::try_from(now).ok().and_then(|now| now.checked_sub(limits.age));
        for file in files {
            let too_old = oldest.is_some_and(|oldest| file.modified < oldest);
            if !too_old && bytes + limits.file_bytes <= limits.folder_bytes {
                return;
            }
            bytes -= file.bytes;
            if let Err(error) = fs::remove_file(&file.path) {
                tracing::warn!(file = %file.path.display(), %error, "failed to delete an old protocol log");
            }
        }
    }

    /// The log's files, oldest first.
    fn files(&self) -> Vec<LogFile> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut files: Vec<LogFile> = entries.filter_map(|entry| LogFile::of(&entry, self.prefix())).collect();
        files.sort_by(|a, b| a.order.cmp(&b.order));
        files
    }
}

struct LogFile {
    path: PathBuf,
    /// Hour and number, from the file name.
    order: (String, u32),
    bytes: u64,
    modified: SystemTime,
}

impl LogFile {
    fn of(entry: &fs::DirEntry, prefix: &str) -> Option<Self> {
        let name = entry.file_name().into_string().ok()?;
        let (hour, number) = name.strip_prefix(prefix)?.strip_suffix(".LOG")?.split_once('-')?;
        let is_hour = hour.len() == 10 && hour.bytes().all(|byte| byte.is_ascii_digit());
        let order = (hour.to_owned(), number.parse().ok().filter(|_| is_hour)?);
        let metadata = entry.metadata().ok()?;
        Some(Self { path: entry.path(), order, bytes: metadata.len(), modified: metadata.modified().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_change_with_the_hour_and_with_their_size_and_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("SmtpSend");
        let limits = Limits { file_bytes: 1000, folder_bytes: 4500, age: Duration::from_secs(3600) };
        let mut log = Folder::new(path.clone(), LogType::Send);
        let row = [b'x'; 600];
        for _ in 0..4 {
            log.append(&row, at("2026-11-25T08:10:00Z"), &limits).unwrap();
        }
        fs::write(path.join("notes.txt"), "not ours").unwrap();
        log.append(&row, at("2026-11-25T09:00:00Z"), &limits).unwrap();
        assert_eq!(names(&path), ["SEND2026112508-1.LOG", "SEND2026112508-2.LOG", "SEND2026112509-1.LOG", "notes.txt"]);
        log.append(&row, at("2026-11-25T10:00:00Z"), &limits).unwrap();
        assert_eq!(names(&path), ["SEND2026112508-2.LOG", "SEND2026112509-1.LOG", "SEND2026112510-1.LOG", "notes.txt"]);
        // Files were made just now by the file system's clock: much later, they are too old.
        let much_later = Timestamp::now() + Duration::from_secs(7200);
        log.append(&row, much_later, &limits).unwrap();
        assert_eq!(names(&path).len(), 2, "{:?}", names(&path));
        // A new start does not write into an old file.
        for _ in 0..2 {
            Folder::new(path.clone(), LogType::Send).append(&row, Timestamp::now(), &limits).unwrap();
        }
        assert_eq!(names(&path).iter().filter(|name| name.ends_with("-2.LOG")).count(), 1, "{:?}", names(&path));
    }

    #[test]
    fn a_data_folder_that_was_moved_away_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let limits = Limits { file_bytes: 1000, folder_bytes: 4500, age: Duration::from_secs(3600) };
        let mut log = Folder::new(data.join("protocol-log/SmtpSend"), LogType::Send);
        log.append(b"row", Timestamp::now(), &limits).unwrap();
        fs::rename(&data, folder.path().join("aside")).unwrap();
        let mut log = Folder::new(data.join("protocol-log/SmtpReceive"), LogType::Receive);
        assert_eq!(log.append(b"row", Timestamp::now(), &limits).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!data.exists());
    }
}
