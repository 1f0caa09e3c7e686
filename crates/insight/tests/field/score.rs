//! Runs the field cases through the product's own readers, and scores the first finding of each.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use diagnosis::explain;
use gatepost_insight::{Files, Gathered};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

/// A file with the cause that the people involved established.
#[derive(Deserialize)]
struct Case {
    file: String,
    true_cause: String,
    accept: Vec<String>,
    /// The file alone cannot show the cause.
    unknowable: bool,
}

/// A finding above this claims a root cause.
const CONFIDENT: f64 = 0.5;

/// A case and the first finding of its file; `None`: no finding.
pub(crate) struct Row {
    case: Case,
    cause: Option<String>,
    confidence: f64,
    skipped: Vec<String>,
}

impl Row {
    pub(crate) fn is_acceptable(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| self.case.accept.contains(cause))
    }

    pub(crate) fn is_true(&self) -> bool {
        self.cause.as_ref() == Some(&self.case.true_cause)
    }

    pub(crate) fn is_knowable(&self) -> bool {
        !self.case.unknowable
    }

    pub(crate) fn is_confidently_wrong(&self) -> bool {
        let is_named = self.cause.as_ref().is_some_and(|cause| cause != "unknown");
        is_named && !self.is_acceptable() && self.confidence >= CONFIDENT
    }

    /// The file was read, and no failure was found in it.
    pub(crate) fn is_all_clear(&self) -> bool {
        self.cause.is_none() && self.skipped.is_empty()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (self.is_true(), self.is_acceptable(), self.is_confidently_wrong()) {
            (true, ..) => "true",
            (_, true, _) => "acceptable",
            (_, _, true) => "WRONG",
            _ => "-",
        };
        let cause = self.cause.as_deref().unwrap_or("no finding");
        let Case { file, true_cause, accept, unknowable, .. } = &self.case;
        let knowable = if *unknowable { "not knowable, " } else { "" };
        write!(f, "{mark:<10} {file:<54} {cause} ({:.2}); {knowable}{true_cause} of {accept:?}", self.confidence)?;
        self.skipped.iter().try_for_each(|skipped| write!(f, "; skipped: {skipped}"))
    }
}

/// Where files that others have published are: beside the repository, or where GATEPOST_SHARED says.
fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("GATEPOST_SHARED").map_or_else(beside, PathBuf::from).join("samples/field")
}

/// Reads all cases of the manifest.
pub(crate) fn rows() -> Vec<Row> {
    let manifest = folder().join("manifest.json");
    let manifest = std::fs::read(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    let cases: Vec<Case> = serde_json::from_slice(&manifest).unwrap_or_else(|error| panic!("manifest: {error}"));
    cases.into_iter().map(row).collect()
}

/// As the command line reads it: a file that has only sessions of senders is about those.
fn read(file: &Path) -> Files {
    let mut files = Files::new(Gathered::for_findings(), Timestamp::now(), TimeZone::UTC);
    if let Some(opened) = files.open(file, None) {
        files.add(opened);
    }
    files.end(true);
    files.gathered.finish();
    files
}

/// What is found in a file, a line for each finding.
pub(crate) fn found(file: &Path) -> Vec<String> {
    let files = read(file);
    let findings = explain(&files.gathered.evidence).into_iter().map(|explained| explained.finding);
    let told = findings.map(|finding| {
        let words = finding.evidence.first().map(|piece| piece.what.clone()).unwrap_or_default();
        format!("{} ({:.2}) at {}: {words}", finding.cause, finding.confidence, finding.scope.destination)
    });
    told.chain(files.skipped.clone()).collect()
}

fn row(case: Case) -> Row {
    let files = read(&folder().join(&case.file));
    let first = explain(&files.gathered.evidence).into_iter().next().map(|explained| explained.finding);
    let confidence = first.as_ref().map_or(0.0, |finding| finding.confidence);
    Row { case, cause: first.map(|finding| finding.cause.to_string()), confidence, skipped: files.skipped }
}

/// Counts over all rows.
pub(crate) struct Score {
    cases: usize,
    acceptable: usize,
    knowable: usize,
    acceptable_of_knowable: usize,
    true_of_knowable: usize,
}

impl Score {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let knowable = || rows.iter().filter(|row| row.is_knowable());
        Self {
            cases: rows.len(),
            acceptable: rows.iter().filter(|row| row.is_acceptable()).count(),
            knowable: knowable().count(),
            acceptable_of_knowable: knowable().filter(|row| row.is_acceptable()).count(),
            true_of_knowable: knowable().filter(|row| row.is_true()).count(),
        }
    }

    pub(crate) fn acceptable_share(&self) -> f64 {
        self.acceptable_of_knowable as f64 / self.knowable as f64
    }

    pub(crate) fn true_share(&self) -> f64 {
        self.true_of_knowable as f64 / self.knowable as f64
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, acceptable, knowable, acceptable_of_knowable, true_of_knowable } = self;
        write!(
            f,
            "acceptable: {acceptable} of {cases}; of {knowable} knowable cases {acceptable_of_knowable} acceptable, \
             {true_of_knowable} exactly true"
        )
    }
}
