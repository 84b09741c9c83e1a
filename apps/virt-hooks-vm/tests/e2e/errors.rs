// SPDX-License-Identifier: Apache-2.0
//! What cannot be done is said in one line, with the right code, before anything is done.

use crate::bed::{ALL, Bed, UUID};
use crate::{Result, tests};
use serde_json::Value;
use std::process::Command;

tests! {
    Qemu a_vm_that_runs_is_left_alone,
    Library vms_that_are_not_there_or_run_already,
    Library a_name_with_another_uuid,
    Library a_libvirt_that_cannot_be_reached,
    Library xml_that_is_none,
    Library command_lines_with_mistakes,
    Library configuration_with_mistakes,
    Library places_that_cannot_be_used,
    Library a_hook_directory_that_cannot_be_listed,
    Library it_names_itself,
}

const MINIMAL: &str =
    "<domain type='test'><name>m</name><memory>8192</memory><os><type>hvm</type></os></domain>";

/// Spies everywhere, so that a hook that ran is noticed.
fn bed() -> Result<Bed> {
    let bed = Bed::without_vms()?;
    bed.spy(&ALL)?;
    Ok(bed)
}

/// Runs `vm`: it must end with `code` and one line that has all `words`, and no hook may run.
fn refuse(bed: &Bed, arguments: &[&str], code: i32, words: &[&str]) -> Result {
    let done = bed.vm(arguments)?.expect(code);
    let error = done.only_error();
    for word in words {
        assert!(error.contains(word), "{arguments:?}: no \"{word}\" in: {error}");
    }
    assert!(bed.seen().is_empty(), "{arguments:?}: a hook ran");
    bed.assert_tidy();
    Ok(())
}

fn a_vm_that_runs_is_left_alone() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.plain("busy")?;
    bed.vm(&["start", "--paused", "--xml", &xml])?.expect(0);
    bed.spy(&ALL)?;
    for arguments in [&["start", "--xml", &xml][..], &["start", "busy"], &["start", UUID]] {
        refuse(&bed, arguments, 3, &["VM busy is running already: nothing was done"])?;
    }
    assert_eq!(bed.state("busy")?.as_deref(), Some("paused"));
    bed.vm(&["destroy", "busy"])?.expect(0);
    bed.seen();
    bed.finish()
}

fn vms_that_are_not_there_or_run_already() -> Result {
    let bed = bed()?;
    refuse(&bed, &["start", "nobody"], 3, &["nobody", "see which VMs there are: `virsh list --all`"])?;
    refuse(&bed, &["start", UUID], 3, &[UUID, "see which VMs there are"])?;
    // The test driver always has one that runs.
    refuse(&bed, &["start", "test"], 3, &["VM test is running already: nothing was done"])?;
    let xml = bed.file("x.xml", &MINIMAL.replace(">m<", ">test<"))?;
    refuse(&bed, &["start", "--xml", &xml], 3, &["VM test is running already: nothing was done"])?;
    bed.finish()
}

fn a_name_with_another_uuid() -> Result {
    let mut bed = bed()?;
    let stored = format!(
        "<node xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><domain type='test'><name>m</name><uuid>{UUID}</uuid>\
         <memory>8192</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain></node>"
    );
    let uri = format!("test://{}", bed.file("node.xml", &stored)?);
    bed.set_uri(uri);
    let words = [&format!("there is a VM m with UUID {UUID}: give yours another name, or that UUID")[..]];
    let xml = bed.file("x.xml", MINIMAL)?;
    refuse(&bed, &["start", "--xml", &xml], 3, &words)?;
    let other = MINIMAL.replace("</name>", "</name><uuid>11111111-2222-4333-8444-555555555555</uuid>");
    let xml = bed.file("x.xml", &other)?;
    refuse(&bed, &["start", "--xml", &xml], 3, &words)?;
    // Its own UUID, however it is written.
    let same =
        MINIMAL.replace("</name>", &format!("</name><uuid>{}</uuid>", UUID.replace('-', "").to_uppercase()));
    bed.vm(&["start", "--xml", &bed.file("x.xml", &same)?])?.expect(0);
    assert_eq!(bed.seen().len(), 2);
    bed.finish()
}

fn a_libvirt_that_cannot_be_reached() -> Result {
    let bed = bed()?;
    let xml = bed.file("x.xml", MINIMAL)?;
    const GONE: &str = "qemu+unix:///system?socket=/nonexistent";
    let words = ["connect to qemu+unix:///system?socket=/nonexistent: ", "; start libvirt: `systemctl start"];
    for arguments in [&["start", "--xml", &xml][..], &["start", "x"], &["destroy", "x"], &["list"]] {
        refuse(&bed, &[arguments, &["--connect", GONE]].concat(), 3, &words)?;
    }
    // Whoever asked for a report gets one.
    let path = bed.path("report.json");
    let report = ["--connect", GONE, "--report", path.to_str().unwrap()];
    for arguments in [&["start", "--xml", &xml][..], &["destroy", "x"]] {
        refuse(&bed, &[arguments, &report].concat(), 3, &words)?;
        let report: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        assert_eq!((&report["verb"], &report["result"]), (&arguments[0].into(), &"failed".into()));
        assert!(report["error"].as_str().unwrap().starts_with(words[0]), "{report}");
        std::fs::remove_file(&path)?;
    }
    bed.finish()
}

fn xml_that_is_none() -> Result {
    let bed = bed()?;
    let missing = bed.path("missing.xml");
    let missing = missing.to_str().unwrap();
    refuse(&bed, &["start", "--xml", missing], 3, &["read the payload from", missing, "No such file"])?;
    let directory = bed.root().to_str().unwrap();
    refuse(&bed, &["start", "--xml", directory], 3, &[directory, "Is a directory"])?;
    refuse(&bed, &["start", "--xml", "-"], 3, &["standard input: empty, where XML is due"])?;
    for (text, words) in [
        ("", "empty, where XML is due"),
        ("web1\n", "x.xml"),
        ("{\"name\": \"m\"}", "x.xml"),
        ("<domain><name>m</domain>", "x.xml"),
        ("<network><name>m</name></network>", "the root element is <network>, not <domain>"),
        ("<domain type='test'/>", "domain XML: it has no <name>"),
        ("<domain type='test'><name> </name></domain>", "domain XML: it has no <name>"),
        ("<domain type='test'><name>m</name><uuid>7</uuid></domain>", "\"7\" is not a UUID"),
    ] {
        let xml = bed.file("x.xml", text)?;
        refuse(&bed, &["start", "--xml", &xml], 3, &[words])?;
    }
    std::fs::write(bed.path("x.xml"), b"<domain type='test'><name>\xff</name></domain>")?;
    refuse(&bed, &["start", "--xml", bed.path("x.xml").to_str().unwrap()], 3, &["x.xml", "UTF-8"])?;
    bed.finish()
}

fn command_lines_with_mistakes() -> Result {
    let bed = bed()?;
    let xml = bed.file("x.xml", MINIMAL)?;
    let start = |more: &[&'static str], words: &[&str]| {
        refuse(&bed, &[&["start", "--xml", &xml], more].concat(), 2, words)
    };
    start(&["-p", "colour"], &["-p \"colour\": give it as NAME=VALUE"])?;
    start(&["-p", "=blue"], &["-p"])?;
    start(&["-p", "two words=blue"], &["two words"])?;
    start(&["web1"], &["--xml"])?;
    start(&["--timeout", "soon"], &["--timeout", "soon"])?;
    start(&["--pauses"], &["--pauses", "--paused"])?;
    refuse(&bed, &["start"], 2, &["NAME"])?;
    refuse(&bed, &["destroy"], 2, &["NAME|UUID"])?;
    refuse(&bed, &["stop", "m"], 2, &["stop"])?;
    bed.finish()
}

fn configuration_with_mistakes() -> Result {
    let bed = bed()?;
    let xml = bed.file("x.xml", MINIMAL)?;
    bed.file("config.toml", "timeout = \"30s\"\npayload_limt = \"1MiB\"\n")?;
    refuse(&bed, &["start", "--xml", &xml], 2, &["config.toml", "2", "payload_limt", "payload_limit"])?;
    bed.file("config.toml", "timeout = true\n")?;
    refuse(&bed, &["destroy", "m"], 2, &["config.toml", "timeout"])?;
    bed.file("config.toml", "")?;
    refuse(&bed, &["list", "--config", "/nonexistent.toml"], 2, &["/nonexistent.toml", "No such file"])?;
    let missing = ["--hooks-dir", "/nonexistent/hooks"];
    let words = ["hooks directory /nonexistent/hooks does not exist"];
    refuse(&bed, &[&["start", "--xml", &xml][..], &missing].concat(), 2, &words)?;
    refuse(&bed, &[&["destroy", "m"][..], &missing].concat(), 2, &words)?;
    bed.finish()
}

fn places_that_cannot_be_used() -> Result {
    let bed = bed()?;
    let xml = bed.file("x.xml", MINIMAL)?;
    let report = ["--report", "/nonexistent/report.json"];
    let words = ["write the report to /nonexistent/report.json", "No such file"];
    refuse(&bed, &[&["start", "--xml", &xml][..], &report].concat(), 3, &words)?;
    refuse(&bed, &[&["destroy", "test"][..], &report].concat(), 3, &words)?;
    let blocked = bed.file("payloads", "a file where a directory is due")?;
    for arguments in [&["start", "--xml", &xml][..], &["destroy", "test"]] {
        let done = bed.vm(arguments)?.expect(3);
        let error = done.only_error();
        assert!(error.contains(&blocked) && error.to_lowercase().contains("not a directory"), "{error}");
        assert!(bed.seen().is_empty());
    }
    std::fs::remove_file(blocked)?;
    bed.finish()
}

/// A vetoing point whose hooks cannot be run starts nothing; an advisory one warns.
fn a_hook_directory_that_cannot_be_listed() -> Result {
    let bed = Bed::without_vms()?;
    let xml = bed.file("x.xml", MINIMAL)?;
    bed.file("hooks/after_vm_start", "a file where a directory is due")?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(0);
    assert!(done.stderr.contains("warning: after_vm_start: list the hooks in "), "{}", done.stderr);
    bed.spy(&["before_vm_destroy"])?;
    bed.file("hooks/before_vm_start", "a file where a directory is due")?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(3);
    let error = done.error();
    assert!(error.starts_with("start VM m: before_vm_start: list the hooks in "), "{error}");
    assert!(error.ends_with("hooks/before_vm_start: Not a directory (os error 20)"), "{error}");
    assert_eq!(bed.seen()[0].variable("_hook_reason"), "start-failed");
    bed.finish()
}

fn it_names_itself() -> Result {
    for word in ["--version", "-V"] {
        let done = Command::new(env!("CARGO_BIN_EXE_virt-hooks-vm")).arg(word).output()?;
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        assert_eq!(
            String::from_utf8(done.stdout)?,
            concat!("virt-hooks-vm ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }
    Ok(())
}
