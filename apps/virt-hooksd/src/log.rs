// SPDX-License-Identifier: Apache-2.0
//! What the service has to say: lines on standard error, which the service manager keeps, and the journal.

use std::io::Write;
use virt_hooks::render::printable;
use virt_hooks_agent::Chronicler;
use virt_hooks_contract::Report;
use virt_hooks_journal::Journal;

/// The log of the service.
pub(crate) struct Log {
    journal: Journal,
}

impl Log {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        // There is no place left to complain to.
        let _ = std::io::stderr().write_all(format!("virt-hooksd: {}\n", printable(text)).as_bytes());
    }

    /// Keeps records of events.
    pub(crate) fn record(&self, reports: &[Report]) {
        if let Err(error) = self.journal.record(reports) {
            self.line(&error.to_string());
        }
    }
}

/// What the agent has to say.
pub(crate) struct Chronicle(pub(crate) std::sync::Arc<Log>);

impl Chronicler for Chronicle {
    fn fired(&self, reports: &[Report]) {
        self.0.record(reports);
    }

    fn say(&self, line: &str) {
        self.0.line(line);
    }
}
