// SPDX-License-Identifier: Apache-2.0
//! That the code made from `proto/` is the one committed.
//!
//! It is made here, not when the driver is built: whoever builds it needs neither `protoc` nor its like. After a
//! change in `proto/`: `VIRT_HOOKS_WRITE=1 cargo test -p virt-hooks-kubevirt --test protocol`.

use std::fs;
use std::path::Path;

const FILES: &[&str] =
    &["info.proto", "v1alpha1.proto", "v1alpha2.proto", "v1alpha3.proto", "plugins_v1alpha1.proto"];

#[test]
fn the_committed_code_is_current() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tempfile::tempdir().unwrap();
    // Each on its own, as their packages have nothing in common.
    for file in FILES {
        let set = protox::compile([home.join("proto").join(file)], [home.join("proto")]).unwrap();
        tonic_prost_build::configure()
            .build_client(false)
            .build_transport(false)
            .emit_rerun_if_changed(false)
            .out_dir(made.path())
            .compile_fds(set)
            .unwrap();
    }
    let write = std::env::var_os("VIRT_HOOKS_WRITE").is_some();
    let mut seen = 0;
    for entry in fs::read_dir(made.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry
            .file_name()
            .into_string()
            .unwrap()
            .replace("kubevirt.hooks.", "")
            .replacen("plugins.", "plugins_", 1);
        let text =
            format!("// SPDX-License-Identifier: Apache-2.0\n{}", fs::read_to_string(entry.path()).unwrap());
        let place = home.join("src/wire/generated").join(&name);
        if write {
            fs::write(&place, &text).unwrap();
        }
        let found = fs::read_to_string(&place).unwrap_or_default();
        assert!(
            found == text,
            "{name} is out of date: VIRT_HOOKS_WRITE=1 cargo test -p virt-hooks-kubevirt --test protocol"
        );
        seen += 1;
    }
    assert_eq!(seen, FILES.len());
    assert_eq!(fs::read_dir(home.join("src/wire/generated")).unwrap().count(), FILES.len());
}
