// SPDX-License-Identifier: Apache-2.0
//! A hook of `make demo`: hands the text of its property `demo_note` to the guest's firmware, by an argument of
//! QEMU's command line. Running it again changes nothing.

use std::process::ExitCode;
use virt_hooks_sdk::{Context, Failure, run};

fn main() -> ExitCode {
    run(firmware_note)
}

fn firmware_note(hook: &mut Context) -> Result<(), Failure> {
    let Some(note) = hook.property("demo_note")? else { return Ok(()) };
    if note.contains(',') {
        return Err(Failure::stop("demo_note: a comma would start another option of QEMU; leave it out"));
    }
    let wanted = format!("name=opt/virt-hooks/note,string={note}");
    let mut domain = hook.domain()?;
    let arguments = domain.all_named("qemu:arg");
    if arguments.into_iter().any(|a| domain.has(a, "value", &wanted)) {
        return Ok(());
    }
    domain.append_qemu_arguments(&["-fw_cfg", &wanted])?;
    Ok(domain.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_enough() {
        let mut hook = Context::for_test().with_env("demo_note", "hello").with_xml("<domain/>");
        firmware_note(&mut hook).unwrap();
        let first = hook.xml_text();
        assert!(first.contains("string=hello"), "{first}");
        let mut again = Context::for_test().with_env("demo_note", "hello").with_xml(first.as_str());
        firmware_note(&mut again).unwrap();
        assert_eq!(again.xml_text(), first);
    }

    #[test]
    fn a_comma_is_refused() {
        let mut hook = Context::for_test().with_env("demo_note", "a,b=c").with_xml("<domain/>");
        assert!(firmware_note(&mut hook).is_err());
    }
}
