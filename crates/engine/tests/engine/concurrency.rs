// SPDX-License-Identifier: Apache-2.0
//! One engine, many threads (section 5.14).

use crate::bench_bed::{Bed, point, text};
use virt_hooks_engine::Event;

#[test]
fn events_do_not_see_each_other() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "sed -i \"s/@/$_hook_event_id/\" \"$_hook_domxml\"");
    bed.hook("before_vm_start/20_b", "grep -q \"$_hook_event_id\" \"$_hook_domxml\"");
    let engine = bed.engine();
    let point = point("before_vm_start");
    std::thread::scope(|s| {
        for n in 0..32 {
            let (engine, point) = (&engine, &point);
            s.spawn(move || {
                for _ in 0..5 {
                    let o = engine.fire(&Event::new(point, format!("<domain n='{n}'>@</domain>")));
                    assert_eq!(o.error_text(), "");
                    assert_eq!(text(&o), format!("<domain n='{n}'>{}</domain>", o.event_id));
                }
            });
        }
    });
    bed.assert_clean();
}
