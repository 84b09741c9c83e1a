// SPDX-License-Identifier: Apache-2.0
//! What is asked about a host: capabilities, statistics, devices (VDSM sequence 4.19).
//!
//! Each question has the same course: hooks may refuse it, the answer is gathered, hooks may change it. An
//! answer that hooks spoil falls back to the last good one: whoever polls a host gets an answer (C26, E11).

mod caps;
mod cpu;
mod devices;
mod files;
mod nics;
mod perform;
mod stats;

pub(crate) use cpu::percent;
pub(crate) use files::Files;
pub(crate) use perform::QUESTIONS;

use crate::driver::Driver;
use crate::error::Error;
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::{Point, Report};
use virt_hooks_domxml::{Document, Element};
use virt_hooks_engine::{Event, Outcome, Trouble, Watch, is_readable};

/// Over which time loads and rates are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// From the host's boot on. Rates of VMs, whose start is not known, are left out.
    SinceBoot,
    /// Two samples, so far apart.
    Over(Duration),
}

impl Sampling {
    /// Waits for the time of the second sample; `None`: there is none.
    pub(crate) fn wait(self) -> Option<Duration> {
        match self {
            Self::SinceBoot => None,
            Self::Over(time) => {
                let started = std::time::Instant::now();
                // The time between two samples is what is measured here, not an event.
                std::thread::sleep(time);
                Some(started.elapsed())
            }
        }
    }
}

/// A question about a host or its VMs: who asks, and what became of the hooks.
pub struct Inquiry<'a> {
    /// Gives up the hooks while it is readable.
    pub cancel: Option<BorrowedFd<'a>>,
    /// Gets the records of the events, in order.
    pub reports: &'a mut Vec<Report>,
    /// Told what happens.
    pub watch: &'a mut dyn Watch,
}

impl Inquiry<'_> {
    fn fire(&mut self, driver: &Driver, name: &str, payload: &str) -> Outcome {
        let unknown;
        let point = match driver.catalogue.get(name) {
            Some(point) => point,
            // Not to be: the table holds every name used here, which the tests show.
            None => {
                unknown = Point::unknown(name);
                &unknown
            }
        };
        let event = Event { cancel: self.cancel, ..Event::new(point, payload) };
        self.watch.event(point, None);
        let outcome = driver.engine.fire_observed(&event, self.watch);
        self.watch.outcome(&outcome);
        self.reports.push(outcome.report(false));
        outcome
    }

    /// Asks the hooks whether `what` may be told.
    pub(crate) fn may(&mut self, driver: &Driver, point: &str, what: &str) -> Result<(), Error> {
        let outcome = self.fire(driver, point, "{}");
        let vm = what.to_owned();
        match &outcome.trouble {
            Some(Trouble::Cancelled) => return Err(interrupted(vm)),
            Some(other) => {
                let trouble = other.line();
                return Err(Error::Trouble {
                    operation: "report",
                    vm,
                    point: outcome.point.clone(),
                    trouble,
                });
            }
            None => {}
        }
        let point = outcome.point.clone();
        outcome.into_result().map(drop).map_err(|error| Error::Veto { operation: "report", vm, point, error })
    }

    /// The answer as the hooks leave it; as it was where what they leave is not `acceptable`.
    pub(crate) fn changed_by(
        &mut self,
        driver: &Driver,
        point: &str,
        answer: Value,
        acceptable: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let outcome = self.fire(driver, point, &answer.to_string());
        if matches!(outcome.trouble, Some(Trouble::Cancelled)) || self.cancel.is_some_and(is_readable) {
            return Err(interrupted(format!("what {point} is about")));
        }
        if !outcome.changed {
            return Ok(answer);
        }
        match serde_json::from_slice(outcome.payload.bytes()) {
            Ok(changed) if acceptable(&changed) => Ok(changed),
            _ => {
                self.watch.warning(&format!(
                    "{point}: what the hooks left is no such document: the answer is the one without hooks"
                ));
                Ok(answer)
            }
        }
    }
}

fn interrupted(vm: String) -> Error {
    Error::Interrupted { operation: "report", vm, left: "there is no answer" }
}

/// libvirt's XML of something of the host.
pub(crate) fn read_xml(xml: &str) -> Result<Document, Error> {
    Document::parse(xml).map_err(|e| Error::Xml(e.to_string()))
}

/// The text at `path` below an element.
pub(crate) fn text_at(doc: &Document, top: Element, path: &str) -> Option<String> {
    doc.find_below(top, path).map(|e| doc.text(e).trim().to_owned()).filter(|t| !t.is_empty())
}

/// An attribute of the element at `path` below another.
pub(crate) fn attribute_at(doc: &Document, top: Element, path: &str, name: &str) -> Option<String> {
    doc.find_below(top, path).and_then(|e| doc.attribute(e, name)).map(std::borrow::Cow::into_owned)
}
