// SPDX-License-Identifier: Apache-2.0
//! Setting the password of a VM's console (VDSM's sequence 4.18).

use crate::devices::Changed;
use crate::devices::live::changed;
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};
use virt_hooks_contract::{Report, format_time};
use virt_hooks_domxml::{Document, EditError, Element};
use virt_hooks_engine::machine::Machine;
use virt_hooks_engine::{CustomProperties, Watch};
use virt_hooks_libvirt::Affect;

/// A password for a console. It is shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Ticket(String);

/// What is no ticket is not quoted, as it may be one that is only misspelt.
impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::read(text.as_bytes()).map_err(serde::de::Error::custom),
            _ => Err(serde::de::Error::custom("the ticket is not a string")),
        }
    }
}

impl Ticket {
    /// From what a file or a person gave: one line, whose end is left out.
    ///
    /// # Errors
    /// What is wrong with it, without the ticket.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok("") => Err("the ticket is empty"),
            Ok(text) if text.chars().any(char::is_control) => {
                Err("the ticket must be one line without control characters")
            }
            Ok(text) => Ok(Self(text.to_owned())),
            Err(_) => Err("the ticket is not UTF-8"),
        }
    }

    /// A text without the ticket, which libvirt may quote as it is or as XML writes it.
    fn masked(&self, text: &str) -> String {
        let least = self.0.replace('&', "&amp;").replace('<', "&lt;");
        let quoted = least.replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;");
        let mut spellings =
            [least.replace('\'', "&apos;"), least.replace('"', "&quot;"), quoted, least, self.0.clone()];
        spellings.sort_by_key(|s| std::cmp::Reverse(s.len()));
        spellings.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling.as_str(), "***"))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(***)")
    }
}

/// A kind of console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Graphics {
    /// VNC.
    Vnc,
    /// SPICE.
    Spice,
}

impl Graphics {
    /// As the domain XML names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vnc => "vnc",
            Self::Spice => "spice",
        }
    }
}

/// What becomes of a client that is connected when the ticket changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenConnected {
    /// It stays.
    Keep,
    /// It is thrown out; SPICE only.
    Disconnect,
    /// The ticket is not changed then.
    Fail,
}

impl WhenConnected {
    /// As the domain XML names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Disconnect => "disconnect",
            Self::Fail => "fail",
        }
    }
}

/// A ticket for the console of a running VM.
#[derive(Clone, Debug)]
pub struct TicketRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The password.
    pub ticket: Ticket,
    /// Which console, where the VM has more than one.
    pub graphics: Option<Graphics>,
    /// How long the ticket is good from now on; for ever where not given.
    pub valid: Option<Duration>,
    /// What becomes of a client that is connected; libvirt's usual way where not given.
    pub connected: Option<WhenConnected>,
    /// Parameters for the hooks (oVirt: the user's name and id).
    pub parameters: CustomProperties,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// When this becomes readable the operation is given up, as long as libvirt was not asked.
    pub cancel: Option<BorrowedFd<'a>>,
}

impl Driver {
    /// Sets the password of a console of a running VM. `reports` gets the record of each event. No hook gets the
    /// ticket, and none can stop this (C27), except one whose package says that it vetoes.
    ///
    /// # Errors
    /// Such a veto, with the old ticket still good; the VM has no such console, or libvirt refuses: a VNC console must have been started with a password.
    pub fn set_ticket(
        &self,
        request: &TicketRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let live = self.live(request.vm, request.cancel, watch, reports)?;
        let unusable = |problem: String| Error::Ticket { vm: live.machine.name().to_owned(), problem };
        let (graphics, kind) = console(&live.machine, request.graphics).map_err(unusable)?;
        let mut occasion = Occasion {
            driver: self,
            operation: "set ticket of VM",
            reason: "set-ticket",
            vm: live.vm(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "the old ticket holds",
            with_diff: false,
            reports,
            watch,
        };
        let about = About { parameters: Some(&request.parameters), ..About::default() };
        let outcome = occasion.fire_about("before_vm_set_ticket", live.machine.xml(), about);
        occasion.heed(outcome)?;
        occasion.cancel = None;
        // Its time begins when it is set, not before the hooks.
        let until = request.valid.and_then(|valid| SystemTime::now().checked_add(valid));
        let xml = ticketed(live.machine.doc(), graphics, request, until)
            .map_err(|e| unusable(request.ticket.masked(&e.to_string())))?;
        let set = live.domain.update_device(&xml, Affect::Live).map_err(|mut e| {
            e.message = request.ticket.masked(&e.message);
            // QEMU does not say why.
            if kind == Graphics::Vnc.name() && e.message.contains("set_password") {
                e.message += ": a VNC console takes one only if it was started with one (passwd in its XML)";
            }
            occasion.failed(e, "nobody knows whether the ticket was changed")
        });
        set?;
        let done = changed(&live.domain, format!("{kind} console"));
        let (_, machine) = live.unlock();
        occasion.fire_about("after_vm_set_ticket", machine.xml(), about);
        Ok(done)
    }
}

/// The console meant, and its kind.
fn console(machine: &Machine, wanted: Option<Graphics>) -> Result<(Element, String), String> {
    let doc = machine.doc();
    let kind = |e: Element| doc.attribute(e, "type").map(std::borrow::Cow::into_owned).unwrap_or_default();
    let mut with_tickets =
        doc.devices("graphics").into_iter().filter(|&e| matches!(kind(e).as_str(), "vnc" | "spice"));
    let found = match wanted {
        Some(graphics) => with_tickets
            .find(|&e| kind(e) == graphics.name())
            .ok_or_else(|| format!("it has no {} console", graphics.name()))?,
        None => {
            let first = with_tickets.next().ok_or("it has no VNC or SPICE console")?;
            if with_tickets.next().is_some() {
                return Err("it has more than one console: say which with --graphics vnc or spice".to_owned());
            }
            first
        }
    };
    Ok((found, kind(found)))
}

/// The live element with the ticket. libvirt takes anything else that differs as a change, and refuses it.
fn ticketed(
    doc: &Document,
    graphics: Element,
    request: &TicketRequest<'_>,
    until: Option<SystemTime>,
) -> Result<String, EditError> {
    // A document of its own, so that nothing else can come to hold the ticket.
    let mut doc = Document::parse(doc.source(graphics)).map_err(EditError::Fragment)?;
    let root = doc.root();
    doc.set_attribute(root, "passwd", &request.ticket.0)?;
    match until {
        Some(until) => {
            // UTC to the second, as libvirt reads it.
            let text = format_time(until);
            doc.set_attribute(root, "passwdValidTo", text.get(..19).unwrap_or(&text))?;
        }
        None => drop(doc.remove_attribute(root, "passwdValidTo")?),
    }
    match request.connected {
        Some(connected) => doc.set_attribute(root, "connected", connected.name())?,
        None => drop(doc.remove_attribute(root, "connected")?),
    }
    Ok(doc.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ticket: &str) -> TicketRequest<'static> {
        TicketRequest {
            vm: "web1",
            ticket: Ticket::read(ticket.as_bytes()).unwrap(),
            graphics: None,
            valid: None,
            connected: None,
            parameters: CustomProperties::default(),
            timeout: None,
            cancel: None,
        }
    }

    #[test]
    fn a_ticket_is_one_line_and_shown_nowhere() {
        assert_eq!(Ticket::read(b"s3cret\r\n"), Ticket::read(b"s3cret"));
        assert_eq!(Ticket::read(b"\n"), Err("the ticket is empty"));
        assert!(
            Ticket::read(b"a\nb").is_err() && Ticket::read(b"\xff").is_err() && Ticket::read(b"a\0").is_err()
        );
        assert!(!format!("{:?}", request("s3cret")).contains("s3cret"));
        let given: Ticket = serde_json::from_str(r#""s3cret""#).unwrap();
        assert_eq!(given, request("s3cret").ticket);
        for wrong in [r#""s3cret\u0007""#, r#"["s3cret"]"#, r#"{"s3cret":1}"#] {
            let said = serde_json::from_str::<Ticket>(wrong).unwrap_err().to_string();
            assert!(said.starts_with("the ticket ") && !said.contains("s3cret"), "{said}");
        }
        let ticket = Ticket::read(b"a<'b'>&\"").unwrap();
        for quoted in [
            "a<'b'>&\"",
            "a&lt;'b'>&amp;&quot;",
            "a&lt;&apos;b&apos;&gt;&amp;&quot;",
            "a&lt;&apos;b&apos;>&amp;\"",
        ] {
            assert_eq!(ticket.masked(&format!("passwd={quoted} here")), "passwd=*** here");
        }
    }

    #[test]
    fn the_live_element_gets_the_ticket() {
        let doc = Document::parse(
            "<domain><devices><graphics type='vnc' port='5900' passwdValidTo='2001-01-01T00:00:00'><listen/></graphics></devices></domain>",
        )
        .unwrap();
        let graphics = doc.devices("graphics")[0];
        assert_eq!(
            ticketed(&doc, graphics, &request("a'b"), None).unwrap(),
            "<graphics type='vnc' port='5900' passwd='a&apos;b'><listen/></graphics>"
        );
        let until = SystemTime::UNIX_EPOCH + Duration::from_millis(1_893_456_000_500);
        let timed = TicketRequest { connected: Some(WhenConnected::Keep), ..request("x") };
        assert_eq!(
            ticketed(&doc, graphics, &timed, Some(until)).unwrap(),
            "<graphics type='vnc' port='5900' passwdValidTo='2030-01-01T00:00:00' passwd='x' connected='keep'><listen/></graphics>"
        );
    }

    #[test]
    fn the_console_must_be_plain() {
        let machine = |graphics: &str| {
            Machine::read(format!("<domain><name>x</name><devices>{graphics}</devices></domain>").as_bytes())
                .unwrap()
        };
        let none = machine("<graphics type='sdl'/>");
        assert_eq!(console(&none, None).unwrap_err(), "it has no VNC or SPICE console");
        let both = machine("<graphics type='sdl'/><graphics type='vnc'/><graphics type='spice'/>");
        assert!(console(&both, None).unwrap_err().contains("--graphics"));
        assert_eq!(console(&both, Some(Graphics::Spice)).unwrap().1, "spice");
        assert_eq!(console(&machine("<graphics type='vnc'/>"), None).unwrap().1, "vnc");
    }
}
