//! What the kernel says of this process: time, memory, files.

use std::fs;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// `None`: the kernel does not say.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct ProcessFigures {
    pub cpu_s: Option<f64>,
    pub virtual_bytes: Option<u64>,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub open_files_max: Option<u64>,
    /// In seconds since 1970.
    pub start_s: Option<f64>,
}

impl ProcessFigures {
    pub(super) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let bytes = |field: usize| {
            let pages: u64 = pages.as_ref()?.split(' ').nth(field)?.parse().ok()?;
            Some(pages * page_size() as u64)
        };
        Self {
            cpu_s: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            virtual_bytes: bytes(0),
            resident_bytes: bytes(1),
            // Without the one that reads the folder.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as u64),
            open_files_max: getrlimit(Resource::Nofile).current,
            start_s: start_s(),
        }
    }
}

fn start_s() -> Option<f64> {
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    Some(booted_s(&system)? + ticks_after_boot(&own)? / clock_ticks_per_second() as f64)
}

fn booted_s(system: &str) -> Option<f64> {
    system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The 22nd field (proc(5)). The second one is the name of the program, in parentheses, and may have spaces.
fn ticks_after_boot(own: &str) -> Option<f64> {
    own.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let now = ProcessFigures::now();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = since - now.start_s.unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");
        assert!(now.cpu_s.unwrap() > 0.0 && now.resident_bytes.unwrap() > 1_000_000, "{now:?}");
        assert!(now.virtual_bytes > now.resident_bytes && now.open_files.unwrap() > 2, "{now:?}");
        assert!(now.open_files_max.unwrap() > 0, "{now:?}");
    }

    #[test]
    fn the_name_of_the_program_may_have_spaces_and_parentheses() {
        let fields = (3..=52).map(|field| if field == 22 { "4711".to_owned() } else { "1".to_owned() });
        let own = format!("12 (gate) post) {}", fields.collect::<Vec<_>>().join(" "));
        assert_eq!(ticks_after_boot(&own), Some(4711.0));
        assert_eq!(ticks_after_boot("nonsense"), None);
        assert_eq!(booted_s("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
