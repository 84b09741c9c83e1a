// SPDX-License-Identifier: Apache-2.0
//! `conflicts`: hooks that write the same place.

use crate::case::Case;

const POINT: &str = "before_vm_start";

fn case() -> Case {
    Case::new()
        .hook(&format!("{POINT}/10_a"), r#"sed -i "s/type='kvm'/type='qemu'/" "$_hook_domxml""#)
        .hook(&format!("{POINT}/20_b"), r#"sed -i "s/type='qemu'/type='xen'/; s/web1/web2/" "$_hook_domxml""#)
        .hook(
            &format!("{POINT}/30_c"),
            r#"sed -i "s#<devices/>#<devices><disk/></devices>#" "$_hook_domxml""#,
        )
}

#[test]
fn who_wrote_what_others_wrote_too_is_told() {
    let done = case().says("conflicts --payload dom.xml").run().ended(1);
    assert_eq!(done.stdout, "/domain/@type: 10_a, 20_b; what 20_b wrote is what counts\n");
    assert!(done.stderr.ends_with("1 place written by more than one hook\n"), "{}", done.stderr);
    let done = case().says("conflicts --payload dom.xml --format json").run().ended(1);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json[0]["last"], "20_b");
    // Nothing was changed.
    assert_eq!(done.read("dom.xml"), crate::case::DOMAIN);
}

#[test]
fn who_removes_an_element_wrote_what_is_in_it() {
    let done = Case::new()
        .hook(
            &format!("{POINT}/10_a"),
            r#"sed -i "s#<devices/>#<devices><disk device='lun'/></devices>#" "$_hook_domxml""#,
        )
        .hook(&format!("{POINT}/20_b"), r#"sed -i "s#device='lun'#device='disk'#" "$_hook_domxml""#)
        .says("conflicts --payload dom.xml")
        .run()
        .ended(1);
    assert!(done.stdout.contains("/domain/devices/disk/@device: 10_a, 20_b"), "{}", done.stdout);
}

#[test]
fn hooks_that_keep_apart_are_fine() {
    let done = Case::new()
        .hook(&format!("{POINT}/10_a"), r#"sed -i "s/'kvm'/'qemu'/" "$_hook_domxml""#)
        .hook(&format!("{POINT}/20_b"), r#"sed -i "s/web1/web2/" "$_hook_domxml""#)
        .says("conflicts --payload dom.xml")
        .run()
        .ended(0);
    assert!(done.stderr.ends_with("no two hooks wrote the same\n"), "{}", done.stderr);
    let line = Case::new().says("conflicts before_network_setup").run().refused(2);
    assert!(line.contains("has no XML that hooks could both write"), "{line}");
}

#[test]
fn the_sample_of_the_point_is_what_hooks_are_tried_on() {
    Case::new().hook(&format!("{POINT}/10_a"), "exit 0").says("conflicts").run().ended(0);
    assert!(Case::new().says("conflicts --sample list").run().ended(0).stdout.contains("domain-q35"));
}
