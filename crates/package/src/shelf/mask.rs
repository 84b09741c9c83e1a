// SPDX-License-Identifier: Apache-2.0
//! Switching hooks off and on: masks in the administrator's layer, which no upgrade touches.

use super::error::ShelfError;
use super::root::Root;
use super::transaction::Change;
use crate::build::ItemKind;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NOTHING: &str = "/dev/null";

/// What a hook is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Masked.
    Off,
    /// Not masked.
    On,
}

/// A mask that is to be made or removed, or is right as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Where it is, or is going to be.
    pub path: PathBuf,
    switch: Switch,
    changes: bool,
}

impl Mask {
    /// Looks at the mask of a hook: a link to `/dev/null` of its name in the layer. Nothing is changed.
    ///
    /// # Errors
    /// The administrator has a hook of that name there, it cannot be looked at, or the layer leads out of the root by a
    /// link.
    pub fn look(root: &Root, layer: &Path, point: &str, file: &str, to: Switch) -> Result<Self, ShelfError> {
        let path = layer.join(point).join(file);
        root.check(&path)?;
        let (is_there, changes) = match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => (false, to == Switch::Off),
            Err(e) => return Err(ShelfError::file("look at", &path)(e)),
            Ok(_) => (true, to == Switch::On),
        };
        if is_there && !is_mask(&path) {
            let what = match to {
                Switch::Off => {
                    "is a hook of the administrator's that takes the place of the package's: remove it, or its execute permission"
                }
                Switch::On => {
                    "is a hook of the administrator's, not a mask: it runs in place of the package's"
                }
            };
            return Err(ShelfError::InTheWay { path, what: what.to_owned() });
        }
        Ok(Self { path, switch: to, changes })
    }

    /// Whether there is something to be done.
    pub fn changes(&self) -> bool {
        self.changes
    }

    /// The change that it is, of a place below a root; `None` where there is nothing to be done.
    pub fn change(&self, target: PathBuf) -> Option<Change> {
        self.changes.then(|| match self.switch {
            Switch::Off => Change::Put { target, what: ItemKind::Link(NOTHING.into()) },
            Switch::On => Change::Remove { target },
        })
    }

    fn back(&self) -> Self {
        let switch = match self.switch {
            Switch::On => Switch::Off,
            Switch::Off => Switch::On,
        };
        Self { switch, ..self.clone() }
    }

    /// Makes or removes it. The directory of the point stays: it may be somebody else's.
    ///
    /// # Errors
    /// It cannot be made or removed.
    pub fn apply(&self) -> Result<(), ShelfError> {
        match self.switch {
            _ if !self.changes => Ok(()),
            Switch::On => fs::remove_file(&self.path).map_err(ShelfError::file("remove", &self.path)),
            Switch::Off => {
                if let Some(dir) = self.path.parent() {
                    fs::create_dir_all(dir).map_err(ShelfError::file("make", dir))?;
                }
                symlink(NOTHING, &self.path).map_err(ShelfError::file("make", &self.path))
            }
        }
    }
}

/// Switches them all, or none where one cannot be.
///
/// # Errors
/// One cannot be made or removed; those before it are as they were.
pub fn switch_all(masks: &[Mask]) -> Result<(), ShelfError> {
    for (n, mask) in masks.iter().enumerate() {
        if let Err(error) = mask.apply() {
            for done in masks.iter().take(n).rev() {
                // The first error is the one that counts.
                let _ = done.back().apply();
            }
            return Err(error);
        }
    }
    Ok(())
}

fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|to| to == Path::new(NOTHING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_switched_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        let look = |point: &str, to| Mask::look(&root, dir.path(), point, "50_a", to).unwrap();
        let both = [look("p", Switch::Off), look("q", Switch::Off)];
        fs::write(dir.path().join("q"), "no directory").unwrap();
        switch_all(&both).unwrap_err();
        assert!(!dir.path().join("p/50_a").is_symlink());
        fs::remove_file(dir.path().join("q")).unwrap();
        switch_all(&both).unwrap();
        let back = [look("p", Switch::On), look("q", Switch::On)];
        fs::remove_file(dir.path().join("q/50_a")).unwrap();
        switch_all(&back).unwrap_err();
        assert!(is_mask(&dir.path().join("p/50_a")));
    }

    fn switch(layer: &Path, to: Switch) -> Result<bool, ShelfError> {
        let mask = Mask::look(&Root::host(), layer, "p", "50_a", to)?;
        mask.apply()?;
        Ok(mask.changes())
    }

    #[test]
    fn off_and_on_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p/50_a");
        let looked = Mask::look(&Root::host(), dir.path(), "p", "50_a", Switch::Off).unwrap();
        assert!(looked.changes() && looked.path == path && !dir.path().join("p").exists());
        assert!(switch(dir.path(), Switch::Off).unwrap());
        assert!(!switch(dir.path(), Switch::Off).unwrap());
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(NOTHING));
        assert!(switch(dir.path(), Switch::On).unwrap());
        assert!(!switch(dir.path(), Switch::On).unwrap());
        assert!(!path.exists());
    }

    /// It may belong to the main package.
    #[test]
    fn the_directory_of_the_point_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        switch(dir.path(), Switch::Off).unwrap();
        switch(dir.path(), Switch::On).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("p")).unwrap().count(), 0);
    }

    #[test]
    fn an_administrators_hook_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("p/50_a"), "mine").unwrap();
        assert!(switch(dir.path(), Switch::Off).is_err() && switch(dir.path(), Switch::On).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("p/50_a")).unwrap(), "mine");
    }

    #[test]
    fn a_mask_does_not_leave_the_root_by_a_link() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), dir.path().join("etc")).unwrap();
        let root = Root::at(dir.path()).unwrap();
        let layer = dir.path().join("etc/virt-hooks/hooks");
        let said = Mask::look(&root, &layer, "p", "50_a", Switch::Off).unwrap_err().to_string();
        assert!(said.contains("leads out of"), "{said}");
    }
}
