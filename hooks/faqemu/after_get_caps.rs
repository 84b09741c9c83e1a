// SPDX-License-Identifier: Apache-2.0
//! Reports the capabilities of a host that has KVM, of whatever architecture.

use super::machine::{Arch, pretence};
use std::collections::BTreeSet;
use virt_hooks_sdk::serde_json::Value;
use virt_hooks_sdk::{Context, Failure};

/// CPU models an engine may ask for, as libvirt would report them.
const X86_MODELS: &str = "model_486,model_pentium,spec_ctrl,ssbd,md_clear,model_Skylake-Client,model_qemu32,\
     model_coreduo,model_core2duo,model_n270,model_Conroe,model_Westmere,model_Nehalem,model_Opteron_G5";

const X86_MACHINES: &[&str] = &[
    "pc",
    "q35",
    "pc-i440fx-2.6",
    "pc-i440fx-rhel7.0.0",
    "pc-i440fx-rhel7.1.0",
    "pc-i440fx-rhel7.2.0",
    "pc-i440fx-rhel7.3.0",
    "pc-i440fx-rhel7.4.0",
    "pc-i440fx-rhel7.5.0",
    "pc-i440fx-rhel7.6.0",
    "pc-q35-rhel7.3.0",
    "pc-q35-rhel7.4.0",
    "pc-q35-rhel7.5.0",
    "pc-q35-rhel7.6.0",
    "pc-q35-rhel8.0.0",
    "pc-q35-rhel8.1.0",
    "pc-q35-rhel8.2.0",
    "pc-q35-rhel8.3.0",
    "pc-q35-rhel8.4.0",
    "pc-q35-rhel8.5.0",
    "pc-q35-rhel8.6.0",
    "pc-q35-rhel9.0.0",
    "pc-q35-rhel9.2.0",
    "pc-q35-rhel9.4.0",
    "pc-q35-rhel9.6.0",
    "rhel6.0.0",
    "rhel6.1.0",
    "rhel6.2.0",
    "rhel6.3.0",
    "rhel6.4.0",
    "rhel6.5.0",
    "rhel6.6.0",
];

const PPC_MACHINES: &[&str] = &[
    "pseries",
    "pseries-rhel7.2.0",
    "pseries-rhel7.3.0",
    "pseries-rhel7.4.0",
    "pseries-rhel7.5.0",
    "pseries-rhel7.5.0-sxxm",
    "pseries-rhel7.6.0-sxxm",
];

const ARM_MACHINES: &[&str] = &["virt", "virt-rhel7.3.0", "virt-rhel7.4.0", "virt-rhel7.5.0"];

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    report(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn report(hook: &Context) -> Result<(), Failure> {
    let Some(pretence) = pretence(hook)? else { return Ok(()) };
    let (model, flags, machines) = match pretence.arch {
        Arch::X86 => ("Intel(Fake) CPU", x86_flags(hook)?, X86_MACHINES),
        Arch::Ppc64 | Arch::Ppc64Le => ("POWER 8(fake)", "powernv,model_POWER8".to_owned(), PPC_MACHINES),
        Arch::Aarch64 => ("AARCH64 (fake)", String::new(), ARM_MACHINES),
        Arch::S390x => {
            return Err(Failure::go_on("fake_kvm_architecture: no capabilities are known for s390x"));
        }
    };
    let mut capabilities = hook.json()?;
    let Some(capabilities_object) = capabilities.as_object_mut() else {
        return Err(Failure::go_on("faqemu: expected the host's capabilities, a JSON object"));
    };
    capabilities_object.insert("kvmEnabled".into(), Value::Bool(true));
    capabilities_object.insert("cpuModel".into(), model.into());
    capabilities_object.insert("cpuFlags".into(), flags.into());
    capabilities_object.insert("emulatedMachines".into(), machines.into());
    Ok(capabilities.save()?)
}

/// What every x86 hypervisor has, what the host really has, and models.
fn x86_flags(hook: &Context) -> Result<String, Failure> {
    let mut flags: BTreeSet<String> = ["vmx", "sse2", "nx"].map(str::to_owned).into();
    if Arch::of_the_host()? == Arch::X86 {
        let cpuinfo = std::fs::read(hook.host().path("/proc/cpuinfo")).unwrap_or_default();
        let cpuinfo = String::from_utf8_lossy(&cpuinfo);
        let of_a_cpu = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let first = of_a_cpu.into_iter().find(|(key, _)| key.trim() == "flags");
        let words = first.map(|(_, words)| words.split_whitespace()).into_iter().flatten();
        flags.extend(words.map(str::to_owned));
    }
    let mut text = flags.into_iter().collect::<Vec<_>>().join(",");
    text.push(',');
    text.push_str(X86_MODELS);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::serde_json;

    fn on(arch: &str, json: &str) -> (Result<(), Failure>, String) {
        let host = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("etc/vdsm/vdsm.conf", format!("[vars]\nfake_kvm_support = 1\nfake_kvm_architecture = {arch}\n")),
            ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu nx aes\n\nflags\t: other\n".to_owned()),
        ] {
            let path = host.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut hook = Context::for_test().with_host(host.path()).with_json(json);
        let result = run(&mut hook);
        (result, hook.json_text())
    }

    #[test]
    fn x86_has_the_flags_of_the_host_and_more() {
        let (result, once) = on("x86_64", r#"{"kvmEnabled": "false", "other": 1}"#);
        result.unwrap();
        let caps: Value = serde_json::from_str(&once).unwrap();
        assert_eq!(caps["kvmEnabled"], Value::Bool(true));
        assert_eq!(caps["other"], 1);
        let real = if cfg!(target_arch = "x86_64") { "aes,fpu,nx,sse2,vmx" } else { "nx,sse2,vmx" };
        assert_eq!(caps["cpuFlags"], format!("{real},{X86_MODELS}"));
        assert_eq!(caps["emulatedMachines"].as_array().unwrap().len(), 32);
        assert_eq!(on("x86_64", &once).1, once);
    }

    #[test]
    fn other_architectures_have_their_own() {
        for (arch, model, machine) in
            [("ppc64", "POWER 8(fake)", "pseries"), ("aarch64", "AARCH64 (fake)", "virt")]
        {
            let caps: Value = serde_json::from_str(&on(arch, "{}").1).unwrap();
            assert_eq!((&caps["cpuModel"], &caps["emulatedMachines"][0]), (&model.into(), &machine.into()));
        }
    }

    #[test]
    fn failures_leave_the_capabilities_alone() {
        for (arch, json) in [("s390x", "{}"), ("vax", "{}"), ("x86_64", "[]"), ("x86_64", "{")] {
            let (result, after) = on(arch, json);
            assert_eq!(result.unwrap_err().exit_code(), 1, "{arch} {json}");
            assert_eq!(after, json);
        }
    }

    #[test]
    fn switched_off_nothing_is_read() {
        run(&mut Context::for_test()).unwrap();
    }
}
