// SPDX-License-Identifier: Apache-2.0
//! The operating systems on a disk, as virt-inspector tells them.

use virt_hooks_sdk::{Document, Element, ParseError};

/// An operating system on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    root: String,
    windows: bool,
    /// Mount points and their devices.
    mounts: Vec<(String, String)>,
    /// Drive letters and their devices.
    drives: Vec<(String, String)>,
}

/// How a file of the guest is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Device, mount point, and whether it has to work.
    pub(crate) mounts: Vec<(String, String, bool)>,
    /// The path as guestfish takes it.
    pub(crate) path: String,
}

impl Guest {
    pub(crate) fn all(inspected: Vec<u8>) -> Result<Vec<Self>, ParseError> {
        let document = Document::parse(inspected)?;
        Ok(document.all_named("operatingsystem").into_iter().map(|os| Self::read(&document, os)).collect())
    }

    fn read(document: &Document, os: Element) -> Self {
        let text =
            |name| document.child(os, name).map(|e| document.text(e).trim().to_owned()).unwrap_or_default();
        let pairs = |path, attribute| {
            let pair = |e| {
                Some((document.text(e).trim().to_owned(), document.attribute(e, attribute)?.into_owned()))
            };
            document.find_all_below(os, path).into_iter().filter_map(pair).collect::<Vec<_>>()
        };
        let drives = pairs("drive_mappings/drive_mapping", "name");
        Self {
            root: text("root"),
            windows: text("name") == "windows",
            mounts: pairs("mountpoints/mountpoint", "dev"),
            drives: drives.into_iter().map(|(device, letter)| (letter, device)).collect(),
        }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The way to an absolute path.
    pub(crate) fn way(&self, path: &str) -> Way {
        if self.windows { self.windows_way(path) } else { self.unix_way(path) }
    }

    fn unix_way(&self, path: &str) -> Way {
        let mut mounts = vec![(self.root.clone(), "/".to_owned(), true)];
        let mut others: Vec<_> = self.mounts.iter().filter(|(point, _)| point != "/").collect();
        others.sort();
        // Only what the path runs through has to work; others may be where a link leads.
        mounts.extend(others.into_iter().map(|(point, device)| {
            let runs_through = path.strip_prefix(point.as_str()).is_some_and(|rest| rest.starts_with('/'));
            (device.clone(), point.clone(), runs_through)
        }));
        Way { mounts, path: path.to_owned() }
    }

    fn windows_way(&self, path: &str) -> Way {
        let (device, rest) = self.drive(path).unwrap_or((&self.root, path));
        // guestfish looks up such a path whatever the case of its letters.
        Way { mounts: vec![(device.to_owned(), "/".to_owned(), true)], path: format!("win:{rest}") }
    }

    /// The device and the path on it, if the path starts with a drive: `/c/`.
    fn drive<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = path.strip_prefix('/')?;
        let (letter, rest) = (rest.get(..1)?, rest.get(1..)?);
        if !rest.starts_with('/') {
            return None;
        }
        let mapped = self.drives.iter().find(|(name, _)| name.eq_ignore_ascii_case(letter));
        match mapped {
            Some((_, device)) => Some((device, rest)),
            // Not every Windows tells its drives; the system is on C.
            None if letter.eq_ignore_ascii_case("c") => Some((&self.root, rest)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(os: &str) -> Guest {
        let xml = format!(
            "<?xml version=\"1.0\"?>\n<operatingsystems>\n<operatingsystem>{os}</operatingsystem></operatingsystems>"
        );
        Guest::all(xml.into_bytes()).unwrap().remove(0)
    }

    #[test]
    fn a_linux_with_several_file_systems() {
        let linux = guest(
            "<root>/dev/sda2</root><name>linux</name><mountpoints><mountpoint dev='/dev/sda2'>/</mountpoint>\
             <mountpoint dev='/dev/sda1'>/boot</mountpoint><mountpoint dev='/dev/vg/home'>/home</mountpoint></mountpoints>",
        );
        let way = linux.way("/boot/c/x");
        let mounts: Vec<_> = way.mounts.iter().map(|(d, p, must)| (d.as_str(), p.as_str(), *must)).collect();
        assert_eq!(
            mounts,
            [("/dev/sda2", "/", true), ("/dev/sda1", "/boot", true), ("/dev/vg/home", "/home", false)]
        );
        assert_eq!((way.path.as_str(), linux.root()), ("/boot/c/x", "/dev/sda2"));
        assert_eq!(linux.way("/c/x").path, "/c/x");
        assert!(!linux.way("/bootleg").mounts[1].2);
    }

    #[test]
    fn a_windows_and_its_drives() {
        let windows = guest(
            "<root>/dev/sda2</root><name>windows</name><drive_mappings><drive_mapping name='C'>/dev/sda2</drive_mapping>\
             <drive_mapping name='E'>/dev/sda3</drive_mapping></drive_mappings>",
        );
        for (path, device, on_it) in [
            ("/c/Windows/x.txt", "/dev/sda2", "win:/Windows/x.txt"),
            ("/E/x.txt", "/dev/sda3", "win:/x.txt"),
            ("/Windows/x.txt", "/dev/sda2", "win:/Windows/x.txt"),
            ("/z/x.txt", "/dev/sda2", "win:/z/x.txt"),
            ("/ü/x.txt", "/dev/sda2", "win:/ü/x.txt"),
            ("/c", "/dev/sda2", "win:/c"),
        ] {
            let way = windows.way(path);
            assert_eq!((way.mounts[0].0.as_str(), way.path.as_str()), (device, on_it), "{path}");
        }
        let silent = guest("<root>/dev/sda1</root><name>windows</name>");
        assert_eq!(silent.way("/C/a").path, "win:/a");
    }

    #[test]
    fn none_and_nonsense() {
        assert_eq!(Guest::all(b"<operatingsystems/>".to_vec()).unwrap(), []);
        assert!(Guest::all(Vec::new()).is_err());
    }
}
