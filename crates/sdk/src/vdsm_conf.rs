// SPDX-License-Identifier: Apache-2.0
//! Section `vars` of VDSM's configuration: one file and drop-in files, for hooks that have their switches there.

use crate::{Context, Failure};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

/// A file of a drop-in directory counts by its own name, wherever it is.
const DROP_INS: [&str; 3] = ["/usr/lib/vdsm/vdsm.conf.d", "/run/vdsm/vdsm.conf.d", "/etc/vdsm/vdsm.conf.d"];

/// The options of section `vars`; later files win. VDSM reads `/etc/vdsm/vdsm.conf`, then the `*.conf` files of
/// three drop-in directories, sorted by their names.
#[derive(Clone, Debug, Default)]
pub struct VdsmConf(HashMap<String, String>);

impl VdsmConf {
    /// Reads all files; one that cannot be read is left out, with a line in the log, as VDSM does.
    pub fn read(hook: &Context) -> Self {
        let mut options = HashMap::new();
        for file in std::iter::once(hook.host().path("/etc/vdsm/vdsm.conf")).chain(drop_ins(hook)) {
            match std::fs::read(&file) {
                Ok(bytes) => take_vars(&String::from_utf8_lossy(&bytes), &mut options),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => hook.log(format_args!("{} is left out: {error}", file.display())),
            }
        }
        Self(options)
    }

    /// An option's text.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// An option that is a truth value, by the words of ini files; unset is no.
    ///
    /// # Errors
    /// Another word.
    pub fn is_on(&self, option: &str) -> Result<bool, Failure> {
        let Some(value) = self.text(option) else { return Ok(false) };
        match value.to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => Ok(true),
            "0" | "no" | "false" | "off" => Ok(false),
            _ => Err(Failure::go_on(format_args!(
                "{option} in vdsm.conf: expected 1, yes, true, on, 0, no, false or off"
            ))),
        }
    }
}

fn drop_ins(hook: &Context) -> Vec<PathBuf> {
    let mut found: Vec<(OsString, PathBuf)> = Vec::new();
    for directory in DROP_INS {
        let Ok(entries) = std::fs::read_dir(hook.host().path(directory)) else { continue };
        let files = entries.flatten().map(|entry| (entry.file_name(), entry.path()));
        found.extend(files.filter(|(name, _)| name.as_encoded_bytes().ends_with(b".conf")));
    }
    // Stable: of two with the same name the one from the later directory is read later, and wins.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.into_iter().map(|(_, path)| path).collect()
}

fn take_vars(text: &str, options: &mut HashMap<String, String>) {
    let mut in_vars = false;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        // A line set in goes on with the value before it.
        if line.starts_with([' ', '\t'])
            && let Some(value) = last.as_ref().and_then(|option| options.get_mut(option))
        {
            value.push('\n');
            value.push_str(content);
            continue;
        }
        if let Some(section) = content.strip_prefix('[') {
            in_vars = section.split(']').next() == Some("vars");
            last = None;
            continue;
        }
        if let (true, Some((option, value))) = (in_vars, content.split_once(['=', ':'])) {
            let option = option.trim().to_lowercase();
            options.insert(option.clone(), value.trim().to_owned());
            last = Some(option);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(text: &str) -> VdsmConf {
        let mut options = HashMap::new();
        take_vars(text, &mut options);
        VdsmConf(options)
    }

    #[test]
    fn only_vars_counts() {
        let conf = vars("[addresses]\nx = 1\n[vars]\n# x = 2\nX: 3\n  4\ny=\n[other]\ny = 5\n");
        assert_eq!((conf.text("x"), conf.text("y"), conf.text("z")), (Some("3\n4"), Some(""), None));
    }

    #[test]
    fn truth_values() {
        for (value, expected) in
            [("Yes", Some(true)), ("1", Some(true)), ("OFF", Some(false)), ("", None), ("2", None)]
        {
            assert_eq!(vars(&format!("[vars]\nx = {value}\n")).is_on("x").ok(), expected, "{value}");
        }
        assert!(!vars("").is_on("x").unwrap());
    }

    #[test]
    fn drop_ins_count_by_their_names() {
        let host = tempfile::tempdir().unwrap();
        for (file, value) in [
            ("etc/vdsm/vdsm.conf", "0"),
            ("etc/vdsm/vdsm.conf.d/10.conf", "1"),
            ("usr/lib/vdsm/vdsm.conf.d/90.conf", "2"),
            ("run/vdsm/vdsm.conf.d/50.conf", "3"),
            ("etc/vdsm/vdsm.conf.d/99.conf.bak", "4"),
        ] {
            let path = host.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("[vars]\nx = {value}\n")).unwrap();
        }
        let hook = Context::for_test().with_host(host.path());
        assert_eq!(VdsmConf::read(&hook).text("x"), Some("2"));
    }
}
