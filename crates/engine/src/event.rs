// SPDX-License-Identifier: Apache-2.0
//! What a driver says when it fires a hook point.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use virt_hooks_contract::{Failure, Point};

/// A payload: bytes that are shared, never copied. Empty means "no data".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Document(Arc<Vec<u8>>);

impl Document {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Vec<u8>>> From<T> for Document {
    fn from(bytes: T) -> Self {
        Self(Arc::new(bytes.into()))
    }
}

/// The length only: a payload may hold secrets.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

/// The value of a custom property. Scalars become the text Python would print, as VDSM's metadata writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PropertyValue(pub(crate) Vec<u8>);

impl From<&str> for PropertyValue {
    fn from(v: &str) -> Self {
        Self(v.as_bytes().to_vec())
    }
}

impl From<String> for PropertyValue {
    fn from(v: String) -> Self {
        Self(v.into_bytes())
    }
}

impl From<Vec<u8>> for PropertyValue {
    fn from(v: Vec<u8>) -> Self {
        Self(v)
    }
}

impl From<bool> for PropertyValue {
    fn from(v: bool) -> Self {
        Self::from(if v { "True" } else { "False" })
    }
}

impl From<i64> for PropertyValue {
    fn from(v: i64) -> Self {
        Self::from(v.to_string())
    }
}

impl From<f64> for PropertyValue {
    fn from(v: f64) -> Self {
        if v.is_nan() {
            return Self::from("nan");
        }
        // `{:?}` keeps the point of a whole number (1.0), as Python does; exponents are written in its own way.
        let text = format!("{v:?}");
        match text.split_once('e').and_then(|(m, e)| Some((m, e.parse::<i32>().ok()?))) {
            Some((mantissa, exponent)) => Self::from(format!("{mantissa}e{exponent:+03}")),
            None => Self::from(text),
        }
    }
}

/// Named values; the last one set wins.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CustomProperties(Vec<(Vec<u8>, Vec<u8>)>);

impl CustomProperties {
    /// Sets a value. What cannot be in an environment is dropped when an event is fired, with a warning.
    pub fn set(&mut self, name: impl Into<Vec<u8>>, value: impl Into<PropertyValue>) {
        self.0.push((name.into(), value.into().0));
    }

    /// Names and values, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Vec<u8>>, V: Into<PropertyValue>> FromIterator<(N, V)> for CustomProperties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(n, v)| (n.into(), v.into().0)).collect())
    }
}

/// The names only: values may be secrets.
impl std::fmt::Debug for CustomProperties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(n, _)| String::from_utf8_lossy(n))).finish()
    }
}

/// The VM an event is about.
#[derive(Clone, Debug, Default)]
pub struct Vm {
    /// Its UUID, which hooks find in `vmId`.
    pub id: String,
    /// Its name, for records.
    pub name: Option<String>,
    /// Its custom properties.
    pub properties: CustomProperties,
}

/// How what a hook leaves is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// By the kind of the payload: well-formed, same root element, same UUID where the point says so.
    #[default]
    Full,
    /// Only that it is a file that can be read and is not too large.
    None,
}

/// One firing of a hook point.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The point.
    pub point: &'a Point,
    /// What hooks read and may edit.
    pub payload: Document,
    /// The VM, where there is one.
    pub vm: Option<&'a Vm>,
    /// Parameters of this call: custom properties of the device, `FROM_SNAPSHOT`, those of a ticket. A
    /// custom property of the VM with the same name wins, as under VDSM (E14).
    pub parameters: Option<&'a CustomProperties>,
    /// Variables of the driver's own at this point, such as `_hook_cpus`. No property can set or hide them.
    pub variables: &'a [(&'static str, &'a str)],
    /// Why the operation happens, for `_hook_reason`.
    pub reason: Option<&'a str>,
    /// Which attempt this is, from 1, for `_hook_attempt`.
    pub attempt: u32,
    /// The launch flags file, where there is one, for `_hook_launch_flags`.
    pub launch_flags: Option<&'a Path>,
    /// Hooks that completed in an earlier, broken-off firing of this event: they are not run again.
    pub completed: &'a [PathBuf],
    /// What a failing hook does, where not what the point says.
    pub failure: Option<Failure>,
    /// How the result of each hook is checked.
    pub check: Check,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// When this becomes readable the event is cancelled: the hook that runs is ended as if its deadline had
    /// passed, no other is started, and the outcome has [`Trouble::Cancelled`](crate::Trouble::Cancelled).
    pub cancel: Option<BorrowedFd<'a>>,
}

impl<'a> Event<'a> {
    /// An event at `point` with `payload` and nothing else.
    pub fn new(point: &'a Point, payload: impl Into<Document>) -> Self {
        Self {
            point,
            payload: payload.into(),
            vm: None,
            parameters: None,
            variables: &[],
            reason: None,
            attempt: 1,
            launch_flags: None,
            completed: &[],
            failure: None,
            check: Check::Full,
            timeout: None,
            cancel: None,
        }
    }

    /// Whether the event is cancelled by now.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(is_readable)
    }

    /// What a failing hook does to the operation.
    pub fn failure(&self) -> Failure {
        self.failure.unwrap_or(self.point.failure)
    }
}

/// Whether there is something to read, its end included. For [`Event::cancel`] and who hands it on.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}
