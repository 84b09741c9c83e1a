// SPDX-License-Identifier: Apache-2.0
//! Which VMs are meant: those with the property, and those whose name the host's pattern matches.

use virt_hooks_sdk::{Context, Domain, Failure};

/// Bytes a compiled pattern may take; each VM start pays for them.
const PATTERN_SIZE: usize = 1 << 20;

/// The domain and its name if it is meant: `property` of the VM is `on`, or `off` is not and the host's pattern, in
/// `<property>_vm_regexp`, matches. The payload is not opened if nothing asks for it.
pub(crate) fn meant(hook: &Context, property: &str) -> Result<Option<(Domain, String)>, Failure> {
    let switch = hook.property(property)?;
    if switch.as_deref() == Some("off") {
        return Ok(None);
    }
    let variable = format!("{property}_vm_regexp");
    let pattern = hook.property(&variable)?.filter(|pattern| !pattern.is_empty());
    if switch.is_none() && pattern.is_none() {
        return Ok(None);
    }
    let domain = hook.domain()?;
    let name = domain.first_named("name").map(|name| domain.text(name).into_owned()).unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::go_on(format!("{property}: the domain has no name")));
    }
    let on = switch.as_deref() == Some("on")
        || match pattern {
            Some(pattern) => starts(&name, &variable, &pattern)?,
            None => false,
        };
    if !on {
        return Ok(None);
    }
    if name.contains('/') || name.chars().any(char::is_control) {
        return Err(Failure::go_on(format!(
            "{property}: the VM's name is to be part of a file name, expected one without / and control characters"
        )));
    }
    Ok(Some((domain, name)))
}

/// Whether the pattern matches from the start of the name on; it need not match all of it.
fn starts(name: &str, variable: &str, pattern: &str) -> Result<bool, Failure> {
    let pattern = regex_lite::RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
    let pattern = pattern.map_err(|e| {
        Failure::go_on(format_args!("{variable}: expected a regular expression for names of VMs: {e}"))
    })?;
    // The leftmost match is found first: if one starts the name, it is this one.
    Ok(pattern.find(name).is_some_and(|found| found.start() == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERN: &str = "log_console_vm_regexp";

    fn is_meant(variables: &[(&str, &str)], name: &str) -> Result<bool, Failure> {
        let hook = Context::for_test().with_xml(format!("<domain><name>{name}</name></domain>"));
        let hook = variables.iter().fold(hook, |hook, (name, value)| hook.with_env(*name, *value));
        meant(&hook, "log_console").map(|found| found.is_some())
    }

    #[test]
    fn the_property_decides_first_then_the_pattern() {
        for (variables, name, expected) in [
            (&[("log_console", "on")] as &[_], "vm", true),
            (&[("log_console", "on"), (PATTERN, "(")], "vm", true),
            (&[("log_console", "off"), (PATTERN, ".*")], "vm", false),
            (&[("log_console", "On")], "vm", false),
            (&[("log_console", "On"), (PATTERN, "v")], "vm", true),
            (&[(PATTERN, "Hosted")], "HostedEngine", true),
            (&[(PATTERN, "Hosted")], "xHostedEngine", false),
            (&[(PATTERN, "b|a")], "ab", true),
            (&[(PATTERN, "(?i)WIN")], "win2k19", true),
            (&[(PATTERN, "web\\d$")], "web12", false),
            (&[(PATTERN, "")], "vm", false),
        ] {
            assert_eq!(is_meant(variables, name).unwrap(), expected, "{variables:?} {name}");
        }
    }

    #[test]
    fn without_property_and_pattern_nothing_is_read() {
        assert!(meant(&Context::for_test(), "log_console").unwrap().is_none());
    }

    #[test]
    fn bad_patterns_and_names_are_told() {
        let told = |variables: &[(&str, &str)], name: &str| {
            let failure = is_meant(variables, name).unwrap_err();
            failure.message().to_owned()
        };
        let long = "a{900}".repeat(20_000);
        for pattern in ["(", "*", "a{2,1}", "(?=x)", long.as_str()] {
            assert!(told(&[(PATTERN, pattern)], "vm").starts_with(PATTERN));
        }
        assert!(told(&[("log_console", "x")], "").contains("no name"));
        for name in ["a/b", "../../etc/x", "a\nb"] {
            assert!(told(&[("log_console", "on")], name).contains("without /"), "{name}");
        }
    }
}
