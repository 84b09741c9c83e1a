// SPDX-License-Identifier: Apache-2.0
//! A hook point is one entry of the table: everything else that names it follows.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use virt_hooks_contract::Catalogue;
use virt_hooks_engine::{Engine, Event, Settings};
use xtask::install::{Installation, install};
use xtask::{book, completions, man};

const ENTRY: &str =
    "[[point]]\nname = \"before_tea\"\nsummary = \"Refuse a VM its tea\"\nnotes = [\"Milk goes in last.\"]\n";

fn with_one_more() -> Catalogue {
    let mut catalogue = Catalogue::built_in();
    catalogue.add("one.toml", ENTRY).unwrap();
    catalogue
}

#[test]
fn the_man_page_the_book_and_the_completions_have_it() {
    let more = with_one_more();
    let man = man::pages(&more, "/usr".as_ref()).into_iter().find(|p| p.file == "virt-hooks.8").unwrap().text;
    assert!(
        man.contains(".SS before_tea\nRefuse a VM its tea.\n") && man.contains("Milk goes in last."),
        "{man}"
    );
    let page = book::page(&more);
    assert!(
        page.contains("| [before_tea](#before_tea) | Refuse a VM its tea |")
            && page.contains("## before_tea\n")
    );
    for c in completions::all(&more).into_iter().filter(|c| c.program == "virt-hooks") {
        assert!(c.text.contains("before_tea"), "{}", c.file);
        assert!(more.iter().all(|p| c.text.contains(&*p.name)), "{}", c.file);
    }
    for c in completions::all(&Catalogue::built_in()).into_iter().filter(|c| c.program == "virt-hooks") {
        assert!(!c.text.contains("before_tea") && c.text.contains("before_vm_start"), "{}", c.file);
    }
}

#[test]
fn its_directory_is_installed_and_its_hooks_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("virt-hooks"), "").unwrap();
    let to = Installation {
        destdir: &dir.path().join("dest"),
        prefix: "/usr".as_ref(),
        bin_dirs: &[dir.path().to_owned()],
    };
    let more = with_one_more();
    install(&to, &more).unwrap();
    let hooks = to.destdir.join("usr/libexec/vdsm/hooks");
    assert_eq!(std::fs::read_dir(&hooks).unwrap().count(), Catalogue::built_in().iter().count() + 1);

    let hook = hooks.join("before_tea/50_no");
    std::fs::copy("/bin/false", hook).unwrap();
    let engine = Engine::new(Settings::new(vec![hooks], dir.path().join("run")));
    let outcome = engine.fire(&Event::new(more.get("before_tea").unwrap(), b"<domain/>".to_vec()));
    assert_eq!(outcome.verdict, virt_hooks_contract::Verdict::Veto);
}
