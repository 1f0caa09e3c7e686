//! Writes files so that they appear whole or not at all.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, bail};

/// Writes a file and replaces an existing one; no other program ever sees a part of it. Other users of this machine cannot
/// read it, because it may contain mail addresses.
pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Never replace a device or a folder.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("failed to write {}: it exists and is not a file; choose another name", path.display());
    }
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".gatepost-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    written().with_context(|| {
        format!("failed to write {}: check that its folder exists, is writable and has free space", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.html");
        for content in ["long before", "after"] {
            write(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/case.html");
        for path in [folder.path(), missing.as_path()] {
            let error = write(path, b"").unwrap_err().to_string();
            assert!(error.starts_with(&format!("failed to write {}", path.display())), "{error}");
        }
    }
}
