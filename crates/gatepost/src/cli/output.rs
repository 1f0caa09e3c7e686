//! Files that appear whole or not at all.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, bail};

/// Writes a file in the place of one that may be there; nobody ever sees a part of it. Others on this machine may not read
/// it: it is for whom it is sent to.
pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A device or a folder is not to be replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("failed to write {}: it is no file; name one", path.display());
    }
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".gatepost-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    written().with_context(|| {
        format!("failed to write {}: look whether its folder is there, may be written to and has room", path.display())
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
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/case.html");
        for path in [folder.path(), missing.as_path()] {
            let error = write(path, b"").unwrap_err().to_string();
            assert!(error.starts_with(&format!("failed to write {}", path.display())), "{error}");
        }
    }
}
