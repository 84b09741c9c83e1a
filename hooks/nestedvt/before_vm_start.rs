// SPDX-License-Identifier: Apache-2.0
//! Shows hardware virtualisation to the guests of a host that allows nesting.

use std::io::ErrorKind;
use virt_hooks_sdk::{Context, Failure, NewElement};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    // Whatever fails here does not keep the other hooks from running.
    change(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn change(hook: &Context) -> Result<(), Failure> {
    // These modules exist on x86 only. Other architectures have no CPU feature to ask for.
    let name = if is_nested(hook, "kvm_intel")? {
        "vmx"
    } else if is_nested(hook, "kvm_amd")? {
        "svm"
    } else {
        return Ok(());
    };
    let mut domain = hook.domain()?;
    let Some(cpu) = domain.first_named("cpu") else { return Ok(()) };
    if domain.has(cpu, "mode", "host-passthrough") {
        return Ok(());
    }
    let there = domain.children(cpu).find(|&e| domain.name(e) == "feature" && domain.has(e, "name", name));
    match there {
        Some(feature) => domain.set_attribute(feature, "policy", "require")?,
        None => {
            let feature = NewElement::new("feature").attribute("name", name).attribute("policy", "require");
            domain.append(cpu, feature)?;
        }
    }
    Ok(domain.save()?)
}

/// Whether a kvm module allows its guests to use what it uses.
fn is_nested(hook: &Context, module: &str) -> Result<bool, Failure> {
    let path = hook.host().sysfs(format!("module/{module}/parameters/nested"));
    match std::fs::read(&path) {
        Ok(bytes) => {
            let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
            Ok(matches!(line.trim_ascii(), b"Y" | b"1"))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Failure::stop(format!("nestedvt: read {}: {e}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(parameters: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (module, text) in parameters {
            let dir = root.path().join("sys/module").join(module).join("parameters");
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("nested"), text).unwrap();
        }
        root
    }

    #[track_caller]
    fn after(parameters: &[(&str, &str)], xml: &str) -> String {
        let root = host(parameters);
        let once = |xml: &str| {
            let mut hook = Context::for_test().with_host(root.path()).with_xml(xml);
            assert_eq!(run(&mut hook), Ok(()));
            hook.xml_text()
        };
        let out = once(xml);
        assert_eq!(once(&out), out, "a second run changes nothing");
        out
    }

    const CPU: &str = "<domain><cpu/></domain>";

    #[test]
    fn the_feature_of_the_module() {
        let with =
            |name| format!("<domain><cpu><feature name=\"{name}\" policy=\"require\"/></cpu></domain>");
        assert_eq!(after(&[("kvm_intel", "Y\n")], CPU), with("vmx"));
        assert_eq!(after(&[("kvm_intel", " 1 \nN\n")], CPU), with("vmx"));
        assert_eq!(after(&[("kvm_amd", "1")], CPU), with("svm"));
        assert_eq!(after(&[("kvm_intel", "Y"), ("kvm_amd", "Y")], CPU), with("vmx"));
        assert_eq!(after(&[("kvm_intel", "N"), ("kvm_amd", "Y")], CPU), with("svm"));
    }

    #[test]
    fn off() {
        for text in ["N\n", "0", "", "y", "2", "YY", "\nY"] {
            assert_eq!(after(&[("kvm_intel", text), ("kvm_amd", text)], CPU), CPU, "{text:?}");
        }
        assert_eq!(after(&[("kvm", "1")], CPU), CPU, "the module of s390x");
        assert_eq!(run(&mut Context::for_test()), Ok(()), "the payload is not opened");
    }

    #[test]
    fn a_feature_that_is_there_is_changed_in_its_place() {
        assert_eq!(
            after(&[("kvm_amd", "1")], "<domain><cpu><feature policy='disable' name='svm'/></cpu></domain>"),
            "<domain><cpu><feature policy='require' name='svm'/></cpu></domain>"
        );
    }

    #[test]
    fn left_alone() {
        for xml in ["<domain/>", "<domain><cpu mode='host-passthrough'/></domain>", "<network/>"] {
            assert_eq!(after(&[("kvm_intel", "Y")], xml), xml);
        }
    }

    #[test]
    fn failures() {
        let root = host(&[("kvm_intel", "Y")]);
        let mut hook = Context::for_test().with_host(root.path()).with_xml("junk");
        assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1);
        let parameter = root.path().join("sys/module/kvm_intel/parameters/nested");
        std::fs::remove_file(&parameter).unwrap();
        std::fs::create_dir(&parameter).unwrap();
        let failure = run(&mut Context::for_test().with_host(root.path())).unwrap_err();
        assert!(!failure.stops() && failure.message().contains("kvm_intel/parameters/nested"), "{failure}");
    }
}
