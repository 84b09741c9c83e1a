// SPDX-License-Identifier: Apache-2.0
//! The networks of a set-up request, and what they ask for by a custom property.

use super::messages::{log_few, shown};
use virt_hooks_sdk::serde_json::{Map, Value};
use virt_hooks_sdk::{Context, Failure};

/// The networks of the request.
///
/// # Errors
/// The payload has none; the reason names `what`.
pub(crate) fn networks<'a>(payload: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Failure> {
    payload
        .pointer("/request/networks")
        .and_then(Value::as_object)
        .ok_or_else(|| Failure::stop(format!("{what}: the payload has no object request.networks")))
}

/// Gives every network that is set up with the property to `set_up`: its name, the network, the property's text.
/// One that fails does not keep the others from it.
///
/// # Errors
/// The reason of the last network that failed; those before it are told.
pub(crate) fn for_each_with(
    hook: &mut Context,
    property: &str,
    mut set_up: impl FnMut(&mut Context, &str, &Map<String, Value>, &str) -> Result<(), String>,
) -> Result<(), Failure> {
    let payload = hook.json()?;
    let mut reasons = Vec::new();
    for (name, network) in networks(&payload, property)? {
        let done = asked(network, property).and_then(|asked| match asked {
            Some((network, text)) => set_up(hook, name, network, text),
            None => Ok(()),
        });
        if let Err(reason) = done {
            reasons.push(format!("{property} of network {}: {reason}", shown(name)));
        }
    }
    // One line each; the last one is told with the exit code.
    let Some(last) = reasons.pop() else { return Ok(()) };
    log_few(hook, reasons.iter(), |n| format!("{property}: {n} more networks failed"));
    Err(Failure::stop(last))
}

/// A network and its property's text.
type Asked<'a> = (&'a Map<String, Value>, &'a str);

/// What the network asks for, if it is set up and has the property.
fn asked<'a>(network: &'a Value, property: &str) -> Result<Option<Asked<'a>>, String> {
    let network = network.as_object().ok_or("the network is no object")?;
    if network.contains_key("remove") {
        return Ok(None);
    }
    let Some(custom) = network.get("custom") else { return Ok(None) };
    let Some(text) = custom.as_object().ok_or("\"custom\" is no object")?.get(property) else {
        return Ok(None);
    };
    Ok(Some((network, text.as_str().ok_or("expected text")?)))
}

/// Whether the kernel could have an interface of this name; such a name is also one part of a path,
/// and no option.
pub(crate) fn is_interface_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && !name.starts_with('-')
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}
