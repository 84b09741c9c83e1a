// SPDX-License-Identifier: Apache-2.0
//! Switching hooks off and on: masks in the administrator's layer, which no upgrade touches.

use super::error::ShelfError;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NOTHING: &str = "/dev/null";

/// What became of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// It was made or removed.
    Changed(PathBuf),
    /// It was so already.
    Same(PathBuf),
}

/// Masks a hook: makes a link to `/dev/null` of its name in the layer.
///
/// # Errors
/// The administrator has a file of that name there, or it cannot be made.
pub fn mask(layer: &Path, point: &str, file: &str) -> Result<Mask, ShelfError> {
    let dir = layer.join(point);
    let path = dir.join(file);
    if is_mask(&path) {
        return Ok(Mask::Same(path));
    }
    if path.symlink_metadata().is_ok() {
        let what = "is a hook of the administrator's that takes the place of the package's: remove it, or its execute permission".to_owned();
        return Err(ShelfError::InTheWay { path, what });
    }
    fs::create_dir_all(&dir).map_err(ShelfError::file("make", &dir))?;
    symlink(NOTHING, &path).map_err(ShelfError::file("make", &path))?;
    Ok(Mask::Changed(path))
}

/// Takes a mask away.
///
/// # Errors
/// What is there is no mask, or it cannot be removed.
pub fn unmask(layer: &Path, point: &str, file: &str) -> Result<Mask, ShelfError> {
    let path = layer.join(point).join(file);
    if is_mask(&path) {
        fs::remove_file(&path).map_err(ShelfError::file("remove", &path))?;
        // A directory that was made for the mask; one with more in it stays.
        let _ = path.parent().map(fs::remove_dir);
        return Ok(Mask::Changed(path));
    }
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Mask::Same(path)),
        Err(e) => Err(ShelfError::file("look at", &path)(e)),
        Ok(_) => {
            let what =
                "is a hook of the administrator's, not a mask: it runs in place of the package's".to_owned();
            Err(ShelfError::InTheWay { path, what })
        }
    }
}

fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|to| to == Path::new(NOTHING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_on_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p/50_a");
        assert_eq!(mask(dir.path(), "p", "50_a").unwrap(), Mask::Changed(path.clone()));
        assert_eq!(mask(dir.path(), "p", "50_a").unwrap(), Mask::Same(path.clone()));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(NOTHING));
        assert_eq!(unmask(dir.path(), "p", "50_a").unwrap(), Mask::Changed(path.clone()));
        assert_eq!(unmask(dir.path(), "p", "50_a").unwrap(), Mask::Same(path.clone()));
        assert!(!dir.path().join("p").exists());
    }

    #[test]
    fn an_administrators_hook_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("p/50_a"), "mine").unwrap();
        assert!(mask(dir.path(), "p", "50_a").is_err() && unmask(dir.path(), "p", "50_a").is_err());
        assert_eq!(fs::read_to_string(dir.path().join("p/50_a")).unwrap(), "mine");
    }
}
