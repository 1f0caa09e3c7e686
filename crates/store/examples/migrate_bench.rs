//! Measures how fast an embedded store moves to a PostgreSQL server of its own, which `./test` has unpacked.
//!
//! ```text
//! migrate_bench FOLDER…     one line for each: messages, then messages per second copied, compared and in all, and the
//!                           most memory in MiB. `trace_bench fill` and `fill_queue fill` make such folders.
//! ```

use std::{error::Error, path::Path, time::Instant};

use gatepost_store::{Migration, MigrationProgress, PostgresSettings};
use lab::postgres::{Cluster, PASSWORD};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.is_empty() {
        return Err("usage: migrate_bench FOLDER…".into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
    let peers = Cluster::find(&root).ok_or("PostgreSQL is not unpacked in target/peers: run ./test once")?;
    let place = tempfile::tempdir()?;
    let cluster = Cluster::start(peers, place.path(), &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (number, folder) in folders.iter().enumerate() {
        let url = cluster.database(&format!("bench_{number}"))?;
        let settings = PostgresSettings { password: Some(PASSWORD.to_owned()), ..PostgresSettings::new(&url)? };
        runtime.block_on(measure(Path::new(folder), &settings))?;
    }
    Ok(())
}

async fn measure(folder: &Path, settings: &PostgresSettings) -> Result<()> {
    let begin = Instant::now();
    let (mut copied, mut compared) = (begin, begin);
    let progress = |progress| match progress {
        MigrationProgress::Copied { .. } => copied = Instant::now(),
        MigrationProgress::Verified { .. } => compared = Instant::now(),
        MigrationProgress::FolderMarked => {}
    };
    let moved = Migration::new(folder, settings).run(progress).await?;
    let rate = |from: Instant, to: Instant| moved.messages as f64 / to.duration_since(from).as_secs_f64();
    let memory = peak_memory_kib().unwrap_or(0) >> 10;
    println!(
        "{} {:.0} {:.0} {:.0} {memory}",
        moved.messages,
        rate(begin, copied),
        rate(copied, compared),
        rate(begin, Instant::now())
    );
    Ok(())
}

fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
