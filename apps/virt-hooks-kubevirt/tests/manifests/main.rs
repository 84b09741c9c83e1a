// SPDX-License-Identifier: Apache-2.0
//! `manifests` from outside: what it prints is held against a schema of Kubernetes and of KubeVirt.s `Plugin` as
//! release 1.9 has it, and against the grammar of this very program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod printed;
mod schema;

use clap::Parser;
use printed::{Printed, manifests, package, printed, refused};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use virt_hooks_kubevirt::cli::{Cli, Command};

/// The arguments of a container, read by the program they are for.
fn parsed(arguments: &Value) -> Cli {
    let words: Vec<&str> = arguments.as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    Cli::try_parse_from(["virt-hooks-kubevirt"].into_iter().chain(words)).unwrap()
}

fn patch(policy: &Value) -> &str {
    policy["spec"]["mutations"][0]["jsonPatch"]["expression"].as_str().unwrap()
}

#[test]
fn a_plugin_of_hooks_in_the_image() {
    let Printed { objects, said } = printed(&["--hook", "smbios,cpuflags"]);
    assert_eq!(said, "");
    assert_eq!(
        printed::kinds(&objects),
        ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "Plugin"]
    );
    schema::check(&objects);
    assert_eq!(
        objects[2]["spec"],
        json!({
            "failureStrategy": "Fail",
            "domainHooks": [{
                "sidecar": {"socketPath": "/var/run/kubevirt-plugin/virt-hooks/hooks.sock"},
                "failureStrategy": "Fail", "timeout": "30s",
            }],
            "mutatingAdmissionPolicies": [{"name": "virt-hooks"}],
        })
    );
    let container = "Object.spec.initContainers{args: [\"plugin\", \"--domain-socket=/var/run/kubevirt-plugin/virt-hooks/hooks.sock\", \
        \"--hooks-dir=/hooks/smbios\", \"--hooks-dir=/hooks/cpuflags\", \"--packages-dir=/packages\", \"--budget=25s\"], \
        image: \"registry.example.com/vh:1\", name: \"virt-hooks-sidecar\", resources: Object.spec.initContainers.resources{\
        limits: {\"cpu\": \"200m\", \"memory\": \"64Mi\"}, requests: {\"cpu\": \"200m\", \"memory\": \"64Mi\"}}, \
        restartPolicy: \"Always\", securityContext: Object.spec.initContainers.securityContext{allowPrivilegeEscalation: false, \
        capabilities: Object.spec.initContainers.securityContext.capabilities{drop: [\"ALL\"]}, readOnlyRootFilesystem: true, \
        runAsGroup: 107, runAsNonRoot: true, runAsUser: 107, seccompProfile: \
        Object.spec.initContainers.securityContext.seccompProfile{type: \"RuntimeDefault\"}}, volumeMounts: [\
        Object.spec.initContainers.volumeMounts{mountPath: \"/var/run/kubevirt-plugin/virt-hooks\", \
        name: \"kubevirt-plugin-sockets\", subPath: \"virt-hooks\"}]}";
    assert_eq!(
        patch(&objects[0]),
        format!(
            "has(object.spec.initContainers) ? [JSONPatch{{op: \"add\", path: \"/spec/initContainers/-\", value: {container}}}] : \
             [JSONPatch{{op: \"add\", path: \"/spec/initContainers\", value: [{container}]}}]"
        )
    );
    let arguments = container.split_once("args: ").unwrap().1.split_once("], ").unwrap().0;
    let cli = parsed(&serde_json::from_str(&format!("{arguments}]")).unwrap());
    assert!(
        matches!(&cli.command, Command::Plugin(p) if p.domain_socket.is_some() && p.node_socket.is_none())
    );
    assert_eq!(cli.locations.hooks_dirs.len(), 2);
}

#[test]
fn every_option_goes_where_it_belongs() {
    let dir = package("mine", &["before_vm_start", "after_vm_start", "after_vm_destroy"], "");
    let options = [
        "--package",
        dir.path().join("mine").to_str().unwrap(),
        "--hook",
        "smbios",
        "--name",
        "site",
        "--namespace",
        "kube-hooks",
        "--vm-namespace",
        "web,db",
        "--domain-socket",
        "/var/run/kubevirt-plugin/site/a.sock",
        "--node-socket",
        "/run/site/b.sock",
        "--permit",
        "PostVMStart",
        "--failure-strategy",
        "ignore",
        "--timeout",
        "1m",
        "--condition",
        "vmi.Name != 'x'",
        "--admission",
        "v1beta1",
        "--memory",
        "128Mi",
        "--pull-policy",
        "always",
    ]
    .map(str::to_owned);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Printed { objects, .. } = printed(&options);
    schema::check(&objects);
    let kinds = printed::kinds(&objects);
    assert_eq!(
        kinds,
        [
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "DaemonSet",
            "Plugin"
        ]
    );
    let maps: BTreeSet<(&str, &str)> = objects[..5]
        .iter()
        .map(|o| (o["metadata"]["name"].as_str().unwrap(), o["metadata"]["namespace"].as_str().unwrap()))
        .collect();
    let expected = [
        ("site-mine", "db"),
        ("site-mine", "kube-hooks"),
        ("site-mine", "web"),
        ("site-smbios", "db"),
        ("site-smbios", "web"),
    ];
    assert_eq!(maps, BTreeSet::from(expected));
    let mine = objects.iter().find(|o| o["metadata"]["name"] == "site-mine").unwrap();
    assert_eq!(mine["data"]["before_vm_start.50_mine"], "#!/bin/sh\n# --- é\nexit 0\n");
    // Of what is in the image only the manifest travels.
    let smbios = objects.iter().find(|o| o["metadata"]["name"] == "site-smbios").unwrap();
    assert_eq!(smbios["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["hook.toml"]);
    let policy = &objects[5];
    assert_eq!(policy["apiVersion"], "admissionregistration.k8s.io/v1beta1");
    assert_eq!(policy["spec"]["failurePolicy"], "Ignore");
    assert_eq!(
        policy["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["web", "db"])
    );
    for part in [
        "path: \"/spec/volumes/-\"",
        "Object.spec.volumes.projected.sources.configMap{items: [Object.spec.volumes.projected.sources.configMap.items{key: \"hook.toml\", mode: 292, path: \"packages/smbios/hook.toml\"}], name: \"site-smbios\"}",
        "path: \"hooks/before_vm_start/50_mine\"",
        "\"--hooks-dir=/virt-hooks/hooks\", \"--packages-dir=/virt-hooks/packages\", \"--budget=55s\"",
        "imagePullPolicy: \"Always\"",
        "\"memory\": \"128Mi\"",
        "mountPath: \"/virt-hooks\", name: \"virt-hooks-packages\", readOnly: true",
    ] {
        assert!(patch(policy).contains(part), "{part}\n{}", patch(policy));
    }
    let plugin = &objects[8]["spec"];
    assert_eq!(plugin["condition"], "vmi.Name != 'x'");
    assert_eq!(plugin["domainHooks"][0]["sidecar"]["socketPath"], "/var/run/kubevirt-plugin/site/a.sock");
    assert_eq!(
        plugin["nodeHooks"],
        json!([{
            "socket": "/run/site/b.sock", "permittedHooks": ["PostVMStart"], "failureStrategy": "Ignore", "timeout": "60s"
        }])
    );
    let pod = &objects[7]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/run/site");
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/run/site");
    assert_eq!((&container["securityContext"]["runAsUser"], &pod["hostNetwork"]), (&json!(0), &Value::Null));
    let cli = parsed(&container["args"]);
    assert!(
        matches!(&cli.command, Command::Plugin(p) if p.node_socket.is_some() && p.domain_socket.is_none())
    );
}

#[test]
fn only_what_there_are_hooks_for_is_listed() {
    let dir = package(
        "mine",
        &["after_vm_start", "before_vm_migrate_source"],
        "[privileges]\ncapabilities = [\"CAP_NET_ADMIN\"]\n",
    );
    let Printed { objects, .. } = printed(&["--package", dir.path().join("mine").to_str().unwrap()]);
    schema::check(&objects);
    assert_eq!(printed::kinds(&objects), ["ConfigMap", "DaemonSet", "Plugin"]);
    let plugin = &objects[2]["spec"];
    assert_eq!(plugin["nodeHooks"][0]["permittedHooks"], json!(["PostVMStart", "PreMigrationSource"]));
    assert_eq!(plugin["domainHooks"], Value::Null);
    let pod = &objects[1]["spec"]["template"]["spec"];
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(
        pod["containers"][0]["securityContext"]["capabilities"],
        json!({"add": ["NET_ADMIN"], "drop": ["ALL"]})
    );
}

#[test]
fn an_annotation() {
    let done = manifests(&["--style", "annotation", "--hook", "smbios"]);
    let value: Value = serde_json::from_str(&done.0).unwrap();
    assert_eq!(
        value,
        json!([{
            "image": "registry.example.com/vh:1",
            "args": ["sidecar", "--hooks-dir=/hooks/smbios", "--packages-dir=/packages"],
        }])
    );
    let cli = parsed(&value[0]["args"]);
    assert!(matches!(&cli.command, Command::Sidecar(s) if !s.cloud_init && s.version.is_none()));
}

#[test]
fn a_policy_that_annotates() {
    let Printed { objects, said } = printed(&[
        "--style",
        "sidecar",
        "--hook",
        "qemucmdline",
        "--only-annotated",
        "--vm-namespace",
        "web",
    ]);
    schema::check(&objects);
    assert!(said.contains("warning: qemucmdline: "), "{said}");
    assert_eq!(printed::kinds(&objects), ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"]);
    let spec = &objects[0]["spec"];
    assert_eq!(spec["matchConstraints"]["resourceRules"][0]["resources"], json!(["virtualmachineinstances"]));
    let conditions: Vec<&str> =
        spec["matchConditions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(conditions, ["has-no-sidecar", "has-properties"]);
    // The value is the annotation itself.
    let annotation = manifests(&["--style", "annotation", "--hook", "qemucmdline"]).0;
    let quoted = Value::from(annotation.trim_end()).to_string();
    let path = "/metadata/annotations/hooks.kubevirt.io~1hookSidecars";
    assert_eq!(
        patch(&objects[0]),
        format!(
            "has(object.metadata.annotations) ? [JSONPatch{{op: \"add\", path: \"{path}\", value: {quoted}}}] : \
             [JSONPatch{{op: \"add\", path: \"/metadata/annotations\", value: {{\"hooks.kubevirt.io/hookSidecars\": {quoted}}}}}]"
        )
    );
}

#[test]
fn what_a_cluster_would_refuse_is_refused_here() {
    let long = format!("/var/run/kubevirt-plugin/virt-hooks/{}.sock", "x".repeat(80));
    for (options, why) in [
        (&["--hook", "smbios", "--name", "Site_1"][..], "name \"Site_1\": lower-case letters"),
        (&["--hook", "smbios", "--namespace", ""], "namespace \"\""),
        (&["--hook", "smbios", "--vm-namespace", "a.b"], "VM namespace \"a.b\""),
        (
            &["--hook", "smbios", "--domain-socket", "/var/run/kubevirt-plugin/virt-hooks/a"],
            "has to end in .sock",
        ),
        (
            &["--hook", "smbios", "--domain-socket", "/var/run/kubevirt-plugin/virt-hooks/.sock"],
            "has to end in .sock",
        ),
        (
            &["--hook", "smbios", "--domain-socket", "/var/run/kubevirt-plugin/other/a.sock"],
            "of plugin virt-hooks in",
        ),
        (
            &["--hook", "smbios", "--domain-socket", "/var/run/kubevirt-plugin/virt-hooks/../a.sock"],
            "without \".\"",
        ),
        (&["--hook", "smbios", "--domain-socket", "a.sock"], "absolute path"),
        (
            &["--hook", "smbios", "--domain-socket", &long],
            "121 bytes, and the path of a socket has 107 at most",
        ),
        (
            &["--hook", "smbios", "--node-socket", "/run/x/a.sock"],
            "none of these hooks is at a point of the node",
        ),
        (&["--hook", "smbios", "--permit", "PostVMStart"], "--permit: none of these packages"),
        (&["--hook", "smbios", "--permit", "PostVMStrat"], "there are PreVMStart"),
        (&["--hook", "smbios", "--timeout", "3s"], "--timeout"),
        (&["--hook", "smbios", "--only-annotated"], "--only-annotated"),
        (&["--hook", "smbios", "--memory", "lots"], "64Mi"),
        (&["--hook", "smbios,smbios"], "package smbios: it was chosen twice"),
        (&["--hook", "nosuch"], "no hook package \"nosuch\" in "),
        (&["--hook", "vhostmd"], "package vhostmd cannot be used in a cluster: The sidecar cannot start"),
        (&["--style", "annotation", "--hook", "smbios", "--condition", "x"], "--style plugin"),
        (&["--style", "sidecar", "--hook", "smbios", "--permit", "PostVMStart"], "--style plugin"),
        (&[], "no hooks were chosen"),
    ] {
        let said = refused(options);
        assert!(said.contains(why), "{options:?}: {said}");
    }
    assert!(printed::run(&["--image", "a b", "--hook", "smbios"]).1.contains("not a reference to an image"));
}

#[test]
fn what_cannot_travel_is_refused() {
    let dir = package("mine", &["before_vm_start"], "");
    let mine = dir.path().join("mine");
    let path = mine.to_str().unwrap().to_owned();
    assert!(refused(&["--package", &path]).contains("--vm-namespace"));
    assert!(
        refused(&["--style", "annotation", "--package", &path]).contains("make an image with the package")
    );
    let hook = mine.join("before_vm_start.sh");
    let most = 1 << 20;
    let manifest = std::fs::metadata(mine.join("hook.toml")).unwrap().len() as usize;
    let room = most - manifest - "hook.toml".len() - "before_vm_start.50_mine".len();
    std::fs::write(&hook, "x".repeat(room)).unwrap();
    let Printed { objects, .. } = printed(&["--package", &path, "--vm-namespace", "web"]);
    schema::check(&objects);
    for size in [room + 1, 4 << 20] {
        std::fs::write(&hook, "x".repeat(size)).unwrap();
        let said = refused(&["--package", &path, "--vm-namespace", "web"]);
        assert!(said.contains("a ConfigMap holds 1048576: put it into an image"), "{said}");
    }
    // A program is no text.
    std::fs::write(&hook, b"\x7fELF\xff\0").unwrap();
    let Printed { objects, .. } = printed(&["--package", &path, "--vm-namespace", "web"]);
    assert_eq!(objects[0]["binaryData"]["before_vm_start.50_mine"], "f0VMRv8A");
    schema::check(&objects);
    std::fs::remove_file(&hook).unwrap();
    assert!(refused(&["--package", &path, "--vm-namespace", "web"]).contains("is missing"));
    assert!(refused(&["--package", "/nonexistent"]).contains("/nonexistent"));
    let dir = package("mine", &["before_vm_start"], "[[file]]\nsource = \"f\"\ntarget = \"/usr/lib/f\"\n");
    let said = refused(&["--package", dir.path().join("mine").to_str().unwrap(), "--vm-namespace", "web"]);
    assert!(said.contains("/usr/lib/f cannot be carried by a ConfigMap"), "{said}");
}

#[test]
fn what_never_happens_is_told() {
    let dir = package("mine", &["before_vm_start", "after_nic_hotplug", "after_vm_migrate_source"], "");
    let path = dir.path().join("mine").to_str().unwrap().to_owned();
    let said = printed(&["--package", &path, "--vm-namespace", "web"]).said;
    assert!(said.contains("mine: nothing in a cluster fires after_nic_hotplug"), "{said}");
    assert!(said.contains("KubeVirt 1.9 takes PostMigrationSource and never calls it"), "{said}");
    let dir = package("mine", &["after_nic_hotplug"], "");
    let said = refused(&["--package", dir.path().join("mine").to_str().unwrap()]);
    assert!(said.contains("nothing fires their points"), "{said}");
}
