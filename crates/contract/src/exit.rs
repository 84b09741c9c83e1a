// SPDX-License-Identifier: Apache-2.0
//! Exit codes, as an interface.

/// What a hook's exit code means (VDSM contract, result codes).
pub mod hook {
    /// Done.
    pub const FINE: i32 = 0;
    /// Failed; the next hook runs. So do codes above 2 and death by a signal.
    pub const FAILED: i32 = 1;
    /// Failed; no further hook runs.
    pub const STOP: i32 = 2;
}

/// What the exit code of `virt-hooks` means.
pub mod command {
    /// Proceed: the operation may happen, or did.
    pub const PROCEED: u8 = 0;
    /// A hook vetoed; or `doctor` found something broken.
    pub const VETO: u8 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 2;
    /// What was given or found cannot be used: the payload, the run directory, libvirt, the VM.
    pub const UNUSABLE: u8 = 3;
    /// libvirt, or the kernel, refused the operation itself.
    pub const REFUSED: u8 = 4;
}
