// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, spawning and result codes (sections 5.5 and 5.6).

use crate::bench_bed::{Bed, DOMAIN, names, point};
use std::time::Duration;
use virt_hooks_contract::Verdict;
use virt_hooks_engine::{Ending, Event, Hook, Observer, Run};

#[test]
fn codes_decide_what_runs_next() {
    for (code, next) in [(0, true), (1, true), (2, false), (3, true), (255, true)] {
        let bed = Bed::new();
        bed.hook("before_vm_start/10_a", &format!("exit {code}"));
        bed.hook("before_vm_start/20_b", "");
        let o = bed.fire("before_vm_start", DOMAIN);
        assert_eq!(o.runs.len(), if next { 2 } else { 1 }, "{code}");
        assert_eq!(o.not_run.len(), usize::from(!next));
        assert_eq!(o.verdict, if code == 0 { Verdict::Proceed } else { Verdict::Veto });
        assert_eq!(o.runs[0].ending, Ending::Exited(code));
    }
}

#[test]
fn argv_is_the_path_alone_and_the_directory_is_inherited() {
    let bed = Bed::new();
    let path = bed.hook("after_vm_start/10_a", &bed.say("$0 $# $PWD"));
    bed.fire("after_vm_start", DOMAIN);
    let cwd = std::env::current_dir().unwrap();
    assert_eq!(bed.log(), [format!("{} 0 {}", path.display(), cwd.display())]);
}

#[test]
fn advisory_points_proceed_whatever_happens() {
    let bed = Bed::new();
    bed.hook("after_vm_start/10_a", "exit 2");
    bed.hook("after_vm_start/20_b", "");
    let o = bed.fire("after_vm_start", DOMAIN);
    assert_eq!((o.verdict, names(&o)), (Verdict::Proceed, vec!["10_a".to_owned()]));
    assert!(o.error_text().contains("10_a: exit code 2"));
}

#[test]
fn deadlines_by_hook_point_and_event() {
    let mut bed = Bed::new();
    bed.hook("before_vm_start/10_a", "");
    let point = point("before_vm_start");
    let event = Event::new(&point, DOMAIN);
    let deadline = |bed: &Bed, event: &Event<'_>| {
        let engine = bed.engine();
        let chain = engine.chain(event.point).unwrap();
        engine.deadline(event, &chain.hooks[0])
    };
    assert_eq!(deadline(&bed, &event), Duration::from_secs(600), "the table");
    bed.settings.timeout = Some(Duration::from_secs(4));
    assert_eq!(deadline(&bed, &event), Duration::from_secs(4), "all hooks");
    bed.settings.point_timeouts.insert("before_vm_start".into(), Duration::from_secs(3));
    assert_eq!(deadline(&bed, &event), Duration::from_secs(3), "the point");
    bed.settings.hook_timeouts.insert("10_a".into(), Duration::from_secs(2));
    assert_eq!(deadline(&bed, &event), Duration::from_secs(2), "the hook");
    assert_eq!(
        deadline(&bed, &Event { timeout: Some(Duration::from_secs(1)), ..event }),
        Duration::from_secs(1),
        "the event"
    );
}

#[test]
fn an_observer_sees_it_happen() {
    #[derive(Default)]
    struct Log(Vec<String>);
    impl Observer for Log {
        fn every(&self) -> Option<Duration> {
            Some(Duration::from_millis(50))
        }
        fn started(&mut self, hook: &Hook) {
            self.0.push(format!("started {}", hook.name().display()));
        }
        fn running(&mut self, hook: &Hook, elapsed: Duration) {
            assert!(elapsed >= Duration::from_millis(50));
            self.0.push(format!("running {}", hook.name().display()));
        }
        fn finished(&mut self, run: &Run) {
            self.0.push(format!("finished {}", run.hook.name().display()));
        }
    }
    let bed = Bed::new();
    bed.hook("after_vm_start/10_a", "sleep 0.3");
    bed.hook("after_vm_start/20_b", "");
    let mut log = Log::default();
    bed.engine().fire_observed(&Event::new(&point("after_vm_start"), DOMAIN), &mut log);
    log.0.dedup();
    assert_eq!(log.0, ["started 10_a", "running 10_a", "finished 10_a", "started 20_b", "finished 20_b"]);
}

#[test]
fn a_cancelled_event_ends_its_hook_and_starts_no_other() {
    use std::os::fd::AsFd;
    struct CancelAtStart(Option<std::io::PipeWriter>);
    impl Observer for CancelAtStart {
        fn started(&mut self, _: &Hook) {
            self.0 = None;
        }
    }
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "sleep 600");
    bed.hook("before_vm_start/20_b", &bed.say("never"));
    let (reader, writer) = std::io::pipe().unwrap();
    let point = point("before_vm_start");
    let event = Event { cancel: Some(reader.as_fd()), ..Event::new(&point, DOMAIN) };
    let o = bed.engine().fire_observed(&event, &mut CancelAtStart(Some(writer)));
    assert!(matches!(o.trouble, Some(virt_hooks_engine::Trouble::Cancelled)));
    assert_eq!((o.runs.len(), o.not_run.len(), o.verdict), (1, 1, Verdict::Veto));
    assert!(bed.log().is_empty());
    bed.assert_clean();
}

#[test]
fn an_event_cancelled_before_it_is_fired_starts_nothing() {
    use std::os::fd::AsFd;
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", &bed.say("never"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    let point = point("before_vm_start");
    let o = bed.engine().fire(&Event { cancel: Some(reader.as_fd()), ..Event::new(&point, DOMAIN) });
    assert_eq!((o.runs.len(), o.not_run.len(), o.verdict), (0, 1, Verdict::Veto));
    assert!(bed.log().is_empty());
}

#[test]
fn no_hook_starts_once_the_event_is_cancelled() {
    use std::os::fd::AsFd;
    struct CancelAtEnd(Option<std::io::PipeWriter>);
    impl Observer for CancelAtEnd {
        fn finished(&mut self, _: &Run) {
            self.0 = None;
        }
    }
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "");
    bed.hook("before_vm_start/20_b", &bed.say("never"));
    let (reader, writer) = std::io::pipe().unwrap();
    let point = point("before_vm_start");
    let event = Event { cancel: Some(reader.as_fd()), ..Event::new(&point, DOMAIN) };
    let o = bed.engine().fire_observed(&event, &mut CancelAtEnd(Some(writer)));
    assert!(matches!(o.trouble, Some(virt_hooks_engine::Trouble::Cancelled)));
    assert_eq!((names(&o), o.not_run.len(), o.verdict), (vec!["10_a".to_owned()], 1, Verdict::Veto));
    assert!(!o.runs[0].failed() && bed.log().is_empty());
}
