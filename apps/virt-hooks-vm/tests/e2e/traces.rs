// SPDX-License-Identifier: Apache-2.0
//! What hooks saw, and what an operation left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One run of a spy.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The hook point.
    pub(crate) point: String,
    variables: BTreeMap<String, String>,
    /// The payload as it stood.
    pub(crate) payload: String,
}

impl Seen {
    /// An environment variable, empty where it is not set.
    pub(crate) fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }
}

/// The body of a hook that notes what it sees in a directory.
pub(crate) fn spy(directory: &Path) -> String {
    format!(
        "set -e\ncd '{}'\nn=$(ls | wc -l)\nenv -0 >$n.env\ncp \"${{_hook_domxml:-$_hook_json}}\" $n.xml\n\
         echo \"$_hook_point\" >$n.point",
        directory.display()
    )
}

/// Takes what spies noted, in order.
pub(crate) fn collect(directory: &Path) -> Vec<Seen> {
    let mut numbers: Vec<u32> = entries(directory)
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "point"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    let seen = numbers
        .iter()
        .map(|n| {
            let read = |end: &str| {
                let path = directory.join(format!("{n}.{end}"));
                let text = fs::read_to_string(&path).unwrap();
                fs::remove_file(path).unwrap();
                text
            };
            let environment = read("env");
            let pairs = environment.split('\0').filter_map(|pair| pair.split_once('='));
            Seen {
                point: read("point").trim().to_owned(),
                variables: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
                payload: read("xml"),
            }
        })
        .collect();
    assert_eq!(entries(directory), Vec::<PathBuf>::new(), "a spy did not come to its end");
    seen
}

/// The points of what was seen.
pub(crate) fn points(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|s| s.point.as_str()).collect()
}

/// What a directory holds; nothing where it is missing.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// All that is not a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let (directories, mut files): (Vec<_>, Vec<_>) =
        entries(directory).into_iter().partition(|path| path.is_dir() && !path.is_symlink());
    files.extend(directories.iter().flat_map(|path| files_below(path)));
    files
}

/// What an idle run directory holds: the directories for locks and for what libvirt's hook script notes, once there
/// were such.
pub(crate) fn only_locks(run: &Path) -> Vec<PathBuf> {
    ["libvirt", "vm"].map(|name| run.join(name)).into_iter().filter(|path| path.is_dir()).collect()
}

/// The command lines of the processes that have a host's directory in them.
pub(crate) fn processes_about(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    entries(Path::new("/proc"))
        .iter()
        .filter(|path| path.file_name().unwrap().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|path| fs::read(path.join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(root))
        .collect()
}
