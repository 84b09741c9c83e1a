// SPDX-License-Identifier: Apache-2.0
//! Hearing libvirt: the connection is made, listened to, and made again once it is lost.

use super::Agent;
use super::observing::{Complaining, observe};
use crate::desk::Desk;
use crate::desks::Desks;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::Phase;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use virt_hooks_libvirt::{Connection, DeviceChange, Event, Lifecycle, StopReason, Subscription};

/// How long to wait before libvirt is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often, where libvirt tells nothing, VMs are looked at of which nobody knows where they are.
const SLICE: Duration = Duration::from_millis(200);

impl Agent {
    /// Connects, looks at what was missed, passes on what is told, and begins again once the connection is lost.
    pub(super) fn run(self: Arc<Self>) {
        let mut said = String::new();
        while !self.stopping() {
            let connected = self.connect();
            self.state().looking = false;
            self.changed.notify_all();
            match connected {
                Ok((driver, events)) => {
                    said.clear();
                    self.chronicler.say(&format!("connected to {}", driver.connection.uri()));
                    self.listen(&driver, &events);
                    if !self.stopping() {
                        self.chronicler.say("the connection to libvirt is lost");
                    }
                    self.state().connected = false;
                    if let Err(error) = self.present(driver.connection.uri(), false) {
                        self.chronicler.say(&error.to_string());
                    }
                }
                Err(error) => {
                    let line = error.to_string();
                    // Once, not every second.
                    if line != said {
                        self.chronicler.say(&format!("{line}; trying again until it works"));
                        said = line;
                    }
                    if self.rest(RETRY) {
                        return;
                    }
                }
            }
        }
    }

    fn listen(self: &Arc<Self>, driver: &Arc<Driver>, events: &Subscription) {
        let Some(desks) = &driver.desks else { return };
        let mut unread = HashSet::new();
        // Operations that are under way wait for events.
        while !self.state().over {
            self.look_again(driver, &mut unread);
            match events.recv_timeout(SLICE) {
                Ok(Event::Lifecycle(event)) => {
                    if let Lifecycle::Stopped(reason) = event.lifecycle {
                        driver.removals.forget(&event.uuid);
                        note_end(desks, &event.uuid, reason);
                    }
                    desks.of(&event.uuid).event(event.lifecycle);
                }
                Ok(Event::Device(event)) if event.change == DeviceChange::Removed => {
                    self.removed(driver, &event.uuid, &event.alias);
                }
                Ok(Event::Closed(_)) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(_) | Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// A device is gone: where its unplug is over already, the point after it is fired by a thread of its own, in
    /// turn with the VM's operations (C32).
    fn removed(self: &Arc<Self>, driver: &Arc<Driver>, uuid: &str, alias: &str) {
        if !driver.awaits_removal(uuid, alias) {
            return;
        }
        let (agent, driver) = (self.clone(), driver.clone());
        let (uuid, alias) = (uuid.to_owned(), alias.to_owned());
        self.in_background(move || {
            let mut reports = Vec::new();
            let mut watch = Complaining { agent: &agent };
            match driver.late_removal(&uuid, &alias, &mut watch, &mut reports) {
                Ok(Some(done)) => {
                    agent.chronicler.say(&format!("VM {}: {} is gone after all", done.name, done.what));
                    done.warnings.iter().for_each(|warning| agent.chronicler.say(warning));
                }
                // Who unplugs took it.
                Ok(None) => {}
                Err(error) => agent.chronicler.say(&format!("VM {uuid}: {alias} is gone: {error}")),
            }
            agent.chronicler.fired(&reports);
        });
    }

    /// A driver over a new connection, with every VM looked at.
    fn connect(self: &Arc<Self>) -> Result<(Arc<Driver>, Subscription), Error> {
        let connection = Connection::open(self.uri.as_deref()).map_err(Error::Unreachable)?;
        self.state().looking = true;
        let driver = Arc::new(self.driver_over(connection)?);
        // What the look finds is fired over this connection.
        self.state().driver = Some(driver.clone());
        self.present(driver.connection.uri(), false)?;
        // What runs before we listen was there; what comes after was begun while we began.
        let there: HashSet<String> = driver.running()?.into_iter().collect();
        let events = driver.connection.lifecycle_events().map_err(Error::Unreachable)?;
        self.look(&driver, &there)?;
        for (uuid, alias) in driver.removed_unheard() {
            self.removed(&driver, &uuid, &alias);
        }
        {
            let mut state = self.state();
            state.connected = true;
            state.looked = true;
        }
        self.present(driver.connection.uri(), true)?;
        Ok((driver, events))
    }

    fn driver_over(self: &Arc<Self>, connection: Connection) -> Result<Driver, Error> {
        let mut state = self.state();
        if let Some(driver) = &state.driver {
            return Ok(driver.over(connection));
        }
        let host = state.host.take().ok_or(Error::Stopping)?;
        let weak = Arc::downgrade(self);
        let desks =
            Desks::new(connection.uri(), Arc::new(move |desk: &Arc<Desk>, due| observe(&weak, desk, due)));
        let driver = Driver::of_agent(connection, host, desks);
        state.driver = Some(Arc::new(driver.over(driver.connection.clone())));
        Ok(driver)
    }
}

/// The thread that hears libvirt's events, however it ends.
pub(super) struct Hearing(pub(super) Arc<Agent>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.state().hearing = false;
        self.0.changed.notify_all();
    }
}

fn note_end(desks: &Desks, uuid: &str, reason: StopReason) {
    let went = desks.of(uuid).phase();
    if went != Phase::Down && !desks.of(uuid).attended() {
        desks.note_end(uuid, reason.name());
    }
}
