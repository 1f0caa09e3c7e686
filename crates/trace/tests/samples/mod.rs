//! Sample files: the project's own, and those that others have published. The latter are under `shared` beside the
//! repository, or where GATEPOST_SHARED says; only tests named corpus_… read them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it, and fails with it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the project's own.
pub(crate) fn own(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

pub(crate) fn path(name: &str) -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("GATEPOST_SHARED").map_or_else(beside, PathBuf::from).join("samples").join(name)
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

/// All files of a folder, by name.
pub(crate) fn folder(name: &str) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(path(name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names.map(|file| (file.clone(), read(&format!("{name}/{file}")))).collect();
    files.sort();
    files
}
