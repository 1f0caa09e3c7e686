//! Reads a Postfix log to findings, and prints what it took as JSON, and the first findings: `log_speed FILE [--inbound]`.

use std::{
    fs::{self, File},
    time::Instant,
};

use gatepost_diagnosis::{Evidence, diagnose, sources::trace_rows::add_row};
use jiff::{Timestamp, tz::TimeZone};
use trace::postfix_log::FORMAT;

const FINDINGS_MAX: usize = 5;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let file = File::open(&path)?;
    let bytes = file.metadata()?.len();
    let began = Instant::now();
    let is_inbound = std::env::args().any(|argument| argument == "--inbound");
    let mut evidence = if is_inbound { Evidence::default().inbound() } else { Evidence::default() };
    let mut rows = FORMAT.read(file, Timestamp::now(), &TimeZone::UTC)?;
    while let Some(row) = rows.next() {
        add_row(&mut evidence, &FORMAT, &row?, &path, rows.line());
    }
    let read = began.elapsed();
    let findings = diagnose(&evidence);
    let all = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak_kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    let cpu = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let cpu = cpu.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0) / 1e9;
    for finding in findings.iter().take(FINDINGS_MAX) {
        eprintln!("{} {:.2} {}", finding.cause, finding.confidence, finding.summary);
    }
    println!(
        "{{\"bytes\": {bytes}, \"attempts\": {}, \"skipped\": {}, \"findings\": {}, \"read_s\": {:.3}, \"total_s\": {all:.3}, \
         \"cpu_s\": {cpu:.3}, \"megabytes_per_second\": {:.0}, \"peak_mib\": {}}}",
        evidence.len(),
        rows.skipped(),
        findings.len(),
        read.as_secs_f64(),
        bytes as f64 / 1e6 / all,
        peak_kib / 1024
    );
    Ok(())
}
