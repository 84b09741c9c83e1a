// SPDX-License-Identifier: Apache-2.0
//! What was found.

use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A hook does not run, or fails when it does.
    Broken,
    /// It works, or seems to, but not as safely or not in the way its owner thinks.
    Warning,
    /// Worth knowing.
    Hint,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal),+ $(,)?) => {
        /// What sort of thing was found. The names are stable: programs may rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])+ $variant),+ }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name programs know it by.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

kinds! {
    /// None of the hooks directories is there, or one that was named is not.
    NoHooksDirectory = "no-hooks-directory",
    /// A directory that cannot be listed.
    UnreadableDirectory = "unreadable-directory",
    /// A directory, or a name given, that is no hook point.
    UnknownPoint = "unknown-point",
    /// A hook that lies beside the directories of the points.
    StrayFile = "stray-file",
    /// A copy of a hook of another point, without the permission to run.
    MisplacedCopy = "misplaced-copy",
    /// A file of a higher layer takes the place of one of a lower layer.
    Overridden = "overridden",
    /// A link to `/dev/null` keeps a hook of a lower layer from running.
    Masked = "masked",
    /// Such a link where there is nothing to mask.
    MaskWithoutHook = "mask-without-hook",
    /// A name that starts with a dot.
    HiddenName = "hidden-name",
    /// A name that looks like a backup copy.
    BackupName = "backup-name",
    /// Numbers that sort as text in another order than as numbers.
    OrderSurprise = "order-surprise",
    /// A module that other hooks import, but that also runs as a hook.
    HelperExecutable = "helper-executable",
    /// A link that leads nowhere.
    DanglingLink = "dangling-link",
    /// A link that leads back to itself.
    LinkLoop = "link-loop",
    /// A link to a directory.
    LinkToDirectory = "link-to-directory",
    /// A FIFO, a socket or a device.
    NotAFile = "not-a-file",
    /// No permission to execute it.
    NotExecutable = "not-executable",
    /// Executable, but not for the user that hooks run as.
    NotExecutableForUser = "not-executable-for-user",
    /// A script that the user hooks run as cannot read.
    UnreadableForUser = "unreadable-for-user",
    /// A directory on the way that the user hooks run as cannot pass.
    DirectoryClosed = "directory-closed",
    /// On a file system from which nothing may be executed.
    NoexecMount = "noexec-mount",
    /// A hook that others may change.
    WritableByOthers = "writable-by-others",
    /// A directory on the way in which others may replace what leads to the hook.
    WritableDirectory = "writable-directory",
    /// A hook or a directory on the way that belongs to somebody else.
    ForeignOwner = "foreign-owner",
    /// A set-user-ID or set-group-ID bit on a script.
    SetIdScript = "set-id-script",
    /// A file the doctor cannot read.
    UnreadableFile = "unreadable-file",
    /// Nothing in it.
    EmptyFile = "empty-file",
    /// No `#!` line.
    NoInterpreterLine = "no-interpreter-line",
    /// A `#!` that is not at the very beginning.
    InterpreterLineNotFirst = "interpreter-line-not-first",
    /// A byte order mark in front of the `#!`.
    ByteOrderMark = "byte-order-mark",
    /// Lines that end as on Windows.
    CrlfLines = "crlf-lines",
    /// An interpreter without a full path.
    InterpreterRelative = "interpreter-relative",
    /// A `#!` line longer than the kernel reads.
    InterpreterLineTooLong = "interpreter-line-too-long",
    /// More words on the `#!` line than the kernel passes on.
    InterpreterArguments = "interpreter-arguments",
    /// An interpreter that is not installed.
    InterpreterMissing = "interpreter-missing",
    /// An interpreter found only on the `PATH` of this session.
    InterpreterOnlyHere = "interpreter-only-here",
    /// An interpreter that cannot be executed.
    InterpreterNotExecutable = "interpreter-not-executable",
    /// A program for another processor.
    WrongMachine = "wrong-machine",
    /// A program whose loader is not installed.
    LoaderMissing = "loader-missing",
    /// A hook that writes a payload nobody uses.
    OutputIgnored = "output-ignored",
    /// The run directory cannot be used.
    RunDirectoryUnusable = "run-directory-unusable",
    /// Others may write to the run directory.
    RunDirectoryOpen = "run-directory-open",
    /// The run directory is on a disk.
    RunDirectoryOnDisk = "run-directory-on-disk",
    /// Hooks import `hooking`, which is not installed.
    HookingMissing = "hooking-missing",
    /// The user that hooks shall run as does not exist.
    HookUserMissing = "hook-user-missing",
    /// The configuration cannot be read.
    ConfigUnusable = "config-unusable",
    /// The configuration speaks of a hook point that does not exist.
    ConfigUnknownPoint = "config-unknown-point",
    /// The configuration speaks of a hook that does not exist.
    ConfigUnknownHook = "config-unknown-hook",
    /// libvirt's hook script is a link to a command that is not there.
    HookScriptDangling = "hook-script-dangling",
    /// The manifest of an installed package cannot be read.
    PackageManifest = "package-manifest",
    /// An installed package asks for what the hook points of this host do not have.
    PackageUnfit = "package-unfit",
    /// A hook of an installed package is nowhere.
    PackageHookMissing = "package-hook-missing",
    /// Hooks of installed packages wait for each other.
    PackageOrder = "package-order",
    /// What is left of an installation that was cut off.
    InterruptedInstall = "interrupted-install",
    /// A daemon of libvirt's does not call the hook script.
    HookScriptUnseen = "hook-script-unseen",
    /// Something else has the name of our hook script.
    HookScriptForeign = "hook-script-foreign",
    /// Hooks change the XML of a VM that is started in a way that does not honour it.
    EditsWithoutEffect = "edits-without-effect",
    /// An SELinux label that services may not execute.
    SelinuxLabel = "selinux-label",
    /// An AppArmor profile confines it.
    ApparmorProfile = "apparmor-profile",
    /// A package without a manifest, or with one that cannot be read.
    ManifestUnusable = "manifest-unusable",
    /// A manifest that asks for what a hook point does not allow, or for a hook point that does not exist.
    ManifestPoint = "manifest-point",
    /// A hook of a package for which there is no file.
    SourceMissing = "source-missing",
    /// A hook of a package that has to be built first.
    NotBuilt = "not-built",
    /// A package without `README.md`.
    ReadmeMissing = "readme-missing",
    /// A `README.md` that leaves a question open.
    ReadmeIncomplete = "readme-incomplete",
    /// A command that hooks run and that is not installed here.
    CommandMissing = "command-missing",
    /// A script that its interpreter does not understand.
    ScriptSyntax = "script-syntax",
    /// What shellcheck says of a script.
    Shellcheck = "shellcheck",
    /// A file of a package that is not there.
    FileMissing = "file-missing",
    /// A place where a file of a package cannot go, or should not.
    FileTarget = "file-target",
    /// A mode that a file of a package cannot have, or should not.
    FileMode = "file-mode",
    /// Rules for sudo that sudo would refuse.
    SudoersSyntax = "sudoers-syntax",
    /// A unit that systemd would refuse, or complain of.
    UnitSyntax = "unit-syntax",
    /// A case that cannot be run.
    CaseUnusable = "case-unusable",
    /// A package without cases.
    NoCases = "no-cases",
    /// Running a hook on its own output changes more, where it will be run several times.
    NotIdempotent = "not-idempotent",
    /// Something that cannot work where a package is to be used.
    NotPortable = "not-portable",
    /// Something that has to be taken care of where a package is to be used.
    PortableWithCare = "portable-with-care",
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of thing it is.
    pub kind: Kind,
    /// The file or directory it is about.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The hook point, where it is about one.
    pub point: Option<String>,
    /// What is the case, in one line that goes on from the path.
    pub what: String,
    /// Why it matters, in one sentence.
    pub why: String,
    /// The command that mends it, for a shell. A comment in it says what to fill in, or what else may be meant.
    pub mend: String,
}

impl Finding {
    pub(crate) fn new(severity: Severity, kind: Kind, path: &Path) -> Self {
        Self {
            severity,
            kind,
            path: path.to_owned(),
            point: None,
            what: String::new(),
            why: String::new(),
            mend: String::new(),
        }
    }

    pub(crate) fn at(mut self, point: &str) -> Self {
        self.point = Some(point.to_owned());
        self
    }

    pub(crate) fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }
}

/// Whether something needs mending before the hooks work.
pub fn is_broken(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Broken)
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
