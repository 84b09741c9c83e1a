// SPDX-License-Identifier: Apache-2.0
//! A logical volume of the host, managed through the helper.

use std::time::Duration;
use virt_hooks_sdk::{Command, Context, Failure, Output, serde_json};

const HELPER: &str = "/usr/libexec/vdsm/localdisk-helper";
const GROUP: &str = "ovirt-local";
const POOL: &str = "pool0";
/// On a volume as long as it is not a whole copy.
const UPDATING: &str = "UPDATING";

/// How a volume is backed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Lvm,
    LvmThin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Missing,
    Unfinished,
    Finished,
}

/// A volume, by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume<'a>(pub(crate) &'a str);

impl Volume<'_> {
    pub(crate) fn path(self) -> String {
        format!("/dev/{GROUP}/{}", self.0)
    }

    pub(crate) fn state(self, hook: &mut Context) -> Result<State, Failure> {
        let output = helper(hook, &["list", self.0])?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout.bytes())?;
        let volumes = report.pointer("/report/0/lv").and_then(serde_json::Value::as_array);
        let Some(volumes) = volumes else {
            return Err(Failure::go_on("localdisk: what lvs reports has no list of volumes"));
        };
        let Some(first) = volumes.first() else { return Ok(State::Missing) };
        let tags = first.get("lv_tags").and_then(serde_json::Value::as_str).unwrap_or_default();
        let unfinished = tags.split(',').any(|tag| tag == UPDATING);
        Ok(if unfinished { State::Unfinished } else { State::Finished })
    }

    /// Makes it, marked as unfinished. The tags are those VDSM's tools look for.
    pub(crate) fn create(
        self,
        hook: &mut Context,
        backend: Backend,
        vm: &str,
        image: &str,
        bytes: u64,
    ) -> Result<(), Failure> {
        let tags = [
            UPDATING.to_owned(),
            format!("VM_{vm}"),
            format!("IU_{image}"),
            "PU_00000000-0000-0000-0000-000000000000".to_owned(),
        ];
        let size = format!("{bytes}b");
        let mut words = vec!["create"];
        for tag in &tags {
            words.extend(["--addtag", tag]);
        }
        match backend {
            Backend::Lvm => words.extend(["--size", &size]),
            Backend::LvmThin => words.extend(["--thinpool", POOL, "--virtualsize", &size]),
        }
        words.push(self.0);
        helper(hook, &words).map(drop)
    }

    pub(crate) fn finish(self, hook: &mut Context) -> Result<(), Failure> {
        helper(hook, &["change", "--deltag", UPDATING, self.0]).map(drop)
    }

    pub(crate) fn activate(self, hook: &mut Context) -> Result<(), Failure> {
        helper(hook, &["change", "--activate", "y", self.0]).map(drop)
    }

    pub(crate) fn remove(self, hook: &mut Context) -> Result<(), Failure> {
        helper(hook, &["remove", self.0]).map(drop)
    }
}

fn helper(hook: &mut Context, words: &[&str]) -> Result<Output, Failure> {
    let command = Command::new(HELPER).args(words).sudo().deadline(Duration::from_secs(600));
    Ok(hook.execute(&command)?.success(&command)?)
}
