// SPDX-License-Identifier: Apache-2.0
//! One request from its reading to its end (VDSM sequence 4.20).

use crate::backend::Backend;
use crate::course::Course;
use crate::error::{ApplyError, Error};
use crate::iproute::{Ip, Iproute};
use crate::known::Known;
use crate::nmstate::Nmstate;
use crate::pending::{Pending, Undo};
use crate::plan::{Observe, Plan, gateways, plan};
use crate::reach::wait_for_gateways;
use crate::record;
use crate::request::{Ipv4, Request};
use serde_json::Value;
use std::fs::{File, TryLockError};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use virt_hooks_contract::{Catalogue, Report, Verdict};
use virt_hooks_engine::{Engine, Outcome, Trouble, Watch, make_run_dir};

/// Who changes the host's devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// nmstate where the host has it and NetworkManager runs, else `ip`.
    #[default]
    Auto,
    /// `nmstatectl`, with NetworkManager's checkpoint.
    Nmstate,
    /// `ip`, with a roll-back of our own, until the next boot.
    Ip,
}

/// Sets up networks of this host.
pub struct Setup<'a> {
    /// Runs the hooks.
    pub engine: &'a Engine,
    /// The hook points.
    pub catalogue: &'a Catalogue,
    /// Where it is recorded what was set up.
    pub state_dir: &'a Path,
    /// Who changes the devices.
    pub way: Way,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Gives it up while it is readable: what was begun is rolled back.
    pub cancel: Option<BorrowedFd<'a>>,
    /// Whether records have what each hook changed.
    pub with_diff: bool,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Done {
    /// The request as it was carried out, every default filled in: an object with the key `request`.
    pub document: Value,
    /// Whether it is there after the next boot.
    pub outlives_boot: bool,
    /// Who changed the devices: `nmstate` or `ip`.
    pub way: &'static str,
}

/// A request that was found good, and what it means.
struct Checked {
    request: Request,
    plan: Plan,
}

impl Setup<'_> {
    /// Carries out a request in VDSM's shape: an object with `networks`, `bondings` and `options`, or one with
    /// these in the key `request`.
    ///
    /// `before_network_setup` may refuse and edit it; what it leaves is checked as the request was (C17), is what is
    /// carried out, and is what the points after it see (C14). Whatever fails is rolled back, with events of its
    /// own (C16), and then `after_network_setup_fail` is fired. A request that is refused before any hook has
    /// run fires nothing: each `before_network_setup` has one point after it, and none comes without (C15).
    ///
    /// # Errors
    /// See [`Error`]; except for [`Error::Stuck`] the host is as it was.
    pub fn carry_out(
        &self,
        request: &[u8],
        reports: &mut Vec<Report>,
        watch: &mut dyn Watch,
    ) -> Result<Done, Error> {
        let run_dir = &self.engine.settings().run_dir;
        let _lock = lock(run_dir)?;
        let document: Value = serde_json::from_slice(request).map_err(Error::Json)?;
        let mut course = Course { setup: self, run_dir, reports, watch };
        course.recover()?;
        let known = record::read(self.state_dir)?;
        let mut backend = self.backend();
        // Hooks' payloads have it in "request", VDSM's clients send what is in it.
        let inner = document.get("request").unwrap_or(&document);
        let checked = self.check(inner, false, &known, &*backend)?.map_err(Error::Invalid)?;
        let payload = checked.request.to_payload();
        // From here on hooks are told of an end, whatever becomes of this process (C15).
        Pending::Tell { done: false, document: payload.clone() }.write(run_dir)?;
        let before = course.fire("before_network_setup", "setup-networks", &payload, None, self.cancel);
        let left = serde_json::from_slice(before.payload.bytes()).unwrap_or_else(|_| payload.clone());
        if let Some(error) = refused(&before) {
            course.conclude(false, &left);
            return Err(error);
        }
        let checked = if before.changed {
            let checked = match self.check(&left["request"], true, &known, &*backend) {
                Ok(Ok(checked)) => Ok(checked),
                Ok(Err(problems)) => Err(Error::Edited(problems)),
                Err(e) => Err(e),
            };
            match checked {
                Ok(checked) => checked,
                Err(error) => {
                    course.conclude(false, &left);
                    return Err(error);
                }
            }
        } else {
            checked
        };
        let effective = checked.request.to_payload();
        if checked.request.options.commit == Some(true) && !backend.outlives_boot() {
            course
                .watch
                .warning("commitOnSuccess: without nmstate the networks are there until the next boot only");
        }
        let rollback = known.undo(&checked.request).to_payload();
        if backend.stays_half_done() {
            let noted = record::Former::read(self.state_dir).and_then(|record| {
                let before = checked.plan.everything_before();
                Undo { before, record, document: effective.clone(), rollback: rollback.clone(), told: false }
                    .write(run_dir)
            });
            if let Err(error) = noted {
                course.conclude(false, &effective);
                return Err(error);
            }
        }
        course.watch.step("set up networks");
        let applied = self.apply(&checked, &mut *backend);
        course.watch.step_done();
        if let Err(failed) = applied {
            return Err(course.roll_back(failed, &checked.plan, &rollback, &effective, &mut *backend));
        }
        // The networks are there; that they cannot be recorded is told, and does not undo them.
        if let Err(e) = record::write(self.state_dir, &checked.plan.after, backend.outlives_boot()) {
            course.watch.warning(&format!("{e}: they cannot be removed by name later"));
        }
        // After the record: without one nobody could take apart what there is.
        course.conclude(true, &effective);
        Ok(Done { document: effective, outlives_boot: backend.outlives_boot(), way: backend.name() })
    }

    fn backend(&self) -> Box<dyn Backend + '_> {
        let nmstate = match self.way {
            Way::Auto => in_path("nmstatectl") && Path::new("/run/NetworkManager").is_dir(),
            Way::Nmstate => true,
            Way::Ip => false,
        };
        if nmstate { Box::new(Nmstate) } else { Box::new(Iproute { cancel: self.cancel }) }
    }

    /// Reads, normalises and checks; the inner error is what is wrong with the request.
    fn check(
        &self,
        document: &Value,
        whole: bool,
        known: &Known,
        backend: &dyn Backend,
    ) -> Result<Result<Checked, Vec<String>>, Error> {
        let mut problems = Vec::new();
        let mut request = Request::read(document, whole, &mut problems);
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        known.complete(&mut request);
        problems.extend(backend.refuses(&request));
        let plan = plan(&request, known, &Ip, &mut problems).map_err(Error::Observe)?;
        if request.options.connectivity.is_some() {
            let mut networks = plan.after.networks.values();
            let coming = networks.any(|n| {
                n.default_route
                    && (gateways(n).next().is_some() || n.ipv4 == Ipv4::Dhcp || n.ipv6_autoconf || n.dhcpv6)
            });
            if !coming && Ip.default_routes().map_err(Error::Observe)?.is_empty() {
                problems.push(
                    "options: \"connectivityCheck\" asks the default gateway, and this host would have none: \
                     give a network with \"defaultRoute\", or leave it out"
                        .to_owned(),
                );
            }
        }
        Ok(if problems.is_empty() { Ok(Checked { request, plan }) } else { Err(problems) })
    }

    fn apply(&self, checked: &Checked, backend: &mut dyn Backend) -> Result<(), ApplyError> {
        backend.apply(&checked.plan, &checked.request)?;
        if let Some(within) = checked.request.options.connectivity {
            wait_for_gateways(within, self.cancel)?;
        }
        backend.commit()
    }
}

fn refused(outcome: &Outcome) -> Option<Error> {
    match &outcome.trouble {
        Some(Trouble::Cancelled) => return Some(Error::Interrupted),
        Some(other) => return Some(Error::Trouble(other.line())),
        None => {}
    }
    (outcome.verdict == Verdict::Veto).then(|| Error::Veto(outcome.hook_error()))
}

fn in_path(program: &str) -> bool {
    // The search itself is left to whoever runs it; here only whether it would find something.
    let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
    dirs.iter().any(|dir| Path::new(dir).join(program).is_file())
}

/// Held as long as a request is carried out; the kernel frees it when the process dies.
fn lock(run_dir: &Path) -> Result<File, Error> {
    let path: PathBuf = run_dir.join("networks.lock");
    let failed = |source| Error::File { doing: "lock", path: path.clone(), source };
    make_run_dir(run_dir).map_err(failed)?;
    // It stays: a file that is removed could be locked twice. Private: who may read a file may lock it.
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
