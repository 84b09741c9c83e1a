// SPDX-License-Identifier: Apache-2.0
//! Whether the default gateway answers: what `connectivityCheck` means here.

use crate::error::ApplyError;
use crate::iproute::Ip;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use virt_hooks_engine::is_readable;

/// How long one question may take before the next.
const PATIENCE: Duration = Duration::from_millis(250);
/// The port nobody listens at ("discard"): the gateway says so, or drops it.
const PORT: u16 = 9;

/// A default gateway, and the device that leads to it.
#[derive(Clone, Debug)]
struct Gateway {
    ip: IpAddr,
    device: String,
}

/// Waits until every default gateway has answered: a question for its address (ARP, neighbour discovery), or a
/// refused datagram, is an answer.
pub(crate) fn wait_for_gateways(within: Duration, cancel: Option<BorrowedFd<'_>>) -> Result<(), ApplyError> {
    let deadline = Instant::now() + within;
    let gateways = gateways()?;
    if gateways.is_empty() {
        return Err(ApplyError::Unreachable("this host has no default gateway afterwards".to_owned()));
    }
    for gateway in gateways {
        // What was known before the change proves nothing.
        let _ = Ip.json(&["neigh", "flush", "to", &gateway.ip.to_string(), "dev", &gateway.device]);
        while !answers(&gateway)? {
            if cancel.is_some_and(is_readable) {
                return Err(ApplyError::Interrupted);
            }
            if Instant::now() >= deadline {
                return Err(ApplyError::Unreachable(format!(
                    "the default gateway {} does not answer over {} within {within:?}",
                    gateway.ip, gateway.device
                )));
            }
        }
    }
    Ok(())
}

fn gateways() -> Result<Vec<Gateway>, ApplyError> {
    let mut gateways = Vec::new();
    for family in ["-4", "-6"] {
        for route in Ip.json(&[family, "route", "show", "default"])? {
            let ip = route["gateway"].as_str().and_then(|ip| ip.parse().ok());
            if let (Some(ip), Some(device)) = (ip, route["dev"].as_str()) {
                gateways.push(Gateway { ip, device: device.to_owned() });
            }
        }
    }
    Ok(gateways)
}

fn answers(gateway: &Gateway) -> Result<bool, ApplyError> {
    if ask(gateway)? {
        return Ok(true);
    }
    let said = Ip.json(&["neigh", "show", "to", &gateway.ip.to_string(), "dev", &gateway.device])?;
    let reached =
        |state: &serde_json::Value| matches!(state.as_str(), Some("REACHABLE" | "PERMANENT" | "NOARP"));
    Ok(said.iter().flat_map(|n| n["state"].as_array().into_iter().flatten()).any(reached))
}

/// Sends the datagram, which makes the kernel look for the gateway; true where it was refused from there.
fn ask(gateway: &Gateway) -> Result<bool, ApplyError> {
    let started = Instant::now();
    let (any, to) = match gateway.ip {
        IpAddr::V4(ip) => ("0.0.0.0:0", SocketAddr::from((ip, PORT))),
        IpAddr::V6(ip) => {
            let index = Ip.json(&["link", "show", "dev", &gateway.device])?;
            let index = index.first().and_then(|l| l["ifindex"].as_u64()).and_then(|n| u32::try_from(n).ok());
            ("[::]:0", SocketAddrV6::new(ip, PORT, 0, index.unwrap_or(0)).into())
        }
    };
    let asked = UdpSocket::bind(any).and_then(|socket| {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        socket.send(b"\0")?;
        socket.recv(&mut [0; 16])
    });
    Ok(match asked {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => true,
        Err(_) => {
            // Refused by the kernel at once, because a route or a link is not there yet: not to be asked
            // again without a pause.
            std::thread::sleep(PATIENCE.saturating_sub(started.elapsed()));
            false
        }
    })
}
