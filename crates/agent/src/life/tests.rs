// SPDX-License-Identifier: Apache-2.0
//! The state machine alone: each register entry and sequence it decides, and what holds for any order of events.

use super::*;
use proptest::prelude::*;
use virt_hooks_libvirt::{Lifecycle, ResumeReason, ShutdownReason, StartReason, SuspendReason};

const QEMU: &str = "qemu:///system";

const RESUMED: Lifecycle = Lifecycle::Resumed(ResumeReason::Unpaused);
const STARTED: Lifecycle = Lifecycle::Started(StartReason::Booted);
const SUSPENDED: Lifecycle = Lifecycle::Suspended(SuspendReason::Paused);

fn stopped(reason: StopReason) -> Lifecycle {
    Lifecycle::Stopped(reason)
}

#[derive(Clone, Copy)]
enum In {
    S(Step),
    E(Lifecycle),
}
use In::{E, S};

/// Runs a life and gives what is due after each input, and the phase at the end.
fn run(uri: &str, inputs: impl IntoIterator<Item = In>) -> (Vec<Vec<After>>, Phase) {
    let mut life = Life::new(uri);
    let afters = inputs.into_iter().map(|input| match input {
        S(step) => life.step(step),
        E(event) => life.event(event),
    });
    let afters = afters.collect();
    (afters, life.phase())
}

fn due(inputs: impl IntoIterator<Item = In>) -> Vec<After> {
    run(QEMU, inputs).0.concat()
}

fn destroy(reason: &'static str) -> After {
    After::Destroy { reason, with_before: false }
}

#[test]
fn c11_the_events_of_our_own_start_fire_nothing_whenever_they_come() {
    let begin = || vec![S(Step::Start)];
    let end = || S(Step::Started { paused: false });
    for late in 0..=2 {
        let mut events = vec![E(RESUMED), E(STARTED)];
        let after: Vec<In> = events.split_off(2 - late);
        let mut inputs = begin();
        inputs.extend(events);
        inputs.push(end());
        inputs.extend(after);
        inputs.push(E(SUSPENDED));
        assert_eq!(due(inputs), [After::Start, After::Pause("pause")], "{late} late");
    }
}

#[test]
fn c11_created_paused_fires_no_pause() {
    for late in 0..=2 {
        let mut events = vec![E(STARTED), E(SUSPENDED)];
        let after: Vec<In> = events.split_off(2 - late);
        let mut inputs = vec![S(Step::Start)];
        inputs.extend(events);
        inputs.push(S(Step::Started { paused: true }));
        inputs.extend(after);
        inputs.push(E(RESUMED));
        assert_eq!(due(inputs), [After::Start, After::Cont], "{late} late");
    }
    // By others.
    assert_eq!(due([E(STARTED), E(SUSPENDED), E(RESUMED)]), [After::Start, After::Cont]);
}

#[test]
fn a_start_by_others_fires_once_and_no_cont() {
    assert_eq!(run(QEMU, [E(RESUMED), E(STARTED)]), (vec![vec![], vec![After::Start]], Phase::Up));
    // The test driver tells nothing of processors at a start.
    let inputs = [E(STARTED), E(SUSPENDED), E(RESUMED)];
    assert_eq!(
        run("test:///default", inputs).0,
        [vec![After::Start], vec![After::Pause("pause")], vec![After::Cont]]
    );
}

#[test]
fn c10_a_hibernation_of_ours_is_one_however_late_its_event() {
    let up = || vec![S(Step::Start), E(RESUMED), E(STARTED), S(Step::Started { paused: false })];
    let mut inputs = up();
    inputs.extend([S(Step::Pause), E(SUSPENDED), S(Step::Save), E(stopped(StopReason::Saved))]);
    assert_eq!(
        due(inputs)[1..],
        [After::Pause("pause"), After::Hibernate, After::Destroy { reason: "hibernate", with_before: true }]
    );
    // By others: virsh saves a VM that runs.
    let mut inputs = up();
    inputs.extend([E(SUSPENDED), E(stopped(StopReason::Saved))]);
    assert_eq!(due(inputs)[1..3], [After::Pause("pause"), After::Hibernate]);
    // The save failed and the VM is told to go on.
    let mut inputs = up();
    inputs.extend([S(Step::Pause), E(SUSPENDED), S(Step::Save), S(Step::SaveFailed), E(RESUMED)]);
    assert_eq!(due(inputs)[1..], [After::Pause("pause"), After::Cont]);
}

#[test]
fn pauses_that_count_and_those_that_do_not() {
    let up = || vec![E(RESUMED), E(STARTED)];
    let after = |event| {
        let mut inputs = up();
        inputs.push(E(event));
        due(inputs)[1..].to_vec()
    };
    let suspended = |reason| after(Lifecycle::Suspended(reason));
    assert_eq!(suspended(SuspendReason::Paused), [After::Pause("pause")]);
    assert_eq!(suspended(SuspendReason::IoError), [After::Pause("io-error")]);
    for reason in [
        SuspendReason::Migrated,
        SuspendReason::Watchdog,
        SuspendReason::Restored,
        SuspendReason::FromSnapshot,
        SuspendReason::ApiError,
        SuspendReason::PostCopy,
    ] {
        assert_eq!(suspended(reason), [], "{reason}");
    }
}

#[test]
fn a_memory_snapshot_fires_both() {
    // VDSM sequence 4.8.
    let inputs = [E(RESUMED), E(STARTED), E(SUSPENDED), E(RESUMED)];
    assert_eq!(due(inputs)[1..], [After::Pause("pause"), After::Cont]);
}

#[test]
fn resumes_that_do_not_count() {
    for reason in [ResumeReason::Migrated, ResumeReason::FromSnapshot] {
        let inputs = [E(RESUMED), E(STARTED), E(SUSPENDED), E(Lifecycle::Resumed(reason))];
        assert_eq!(run(QEMU, inputs).0[3], [], "{reason}");
    }
}

#[test]
fn restores_by_others() {
    let restored = E(Lifecycle::Started(StartReason::Restored));
    let runs = E(Lifecycle::Resumed(ResumeReason::FromSnapshot));
    assert_eq!(due([restored, runs]), [After::Dehibernate { from_snapshot: false }]);
    let reverted = E(Lifecycle::Started(StartReason::FromSnapshot));
    let stands = E(Lifecycle::Suspended(SuspendReason::FromSnapshot));
    assert_eq!(
        due([reverted, stands, E(RESUMED)]),
        [After::Dehibernate { from_snapshot: true }, After::Cont]
    );
}

#[test]
fn a_restore_of_ours_fires_cont_alone_by_itself() {
    // VDSM sequence 4.3: the operation fires after_vm_dehibernate at its end.
    let inputs = [
        S(Step::Start),
        E(Lifecycle::Started(StartReason::Restored)),
        S(Step::Restored),
        E(Lifecycle::Suspended(SuspendReason::Restored)),
        E(RESUMED),
    ];
    assert_eq!(run(QEMU, inputs), (vec![vec![], vec![], vec![], vec![], vec![After::Cont]], Phase::Up));
}

#[test]
fn destroyed_once_whoever_does_it_and_in_whatever_order() {
    let up = || vec![E(RESUMED), E(STARTED)];
    let after = |more: Vec<In>| {
        let mut inputs = up();
        inputs.extend(more);
        due(inputs)[1..].to_vec()
    };
    let told = || E(stopped(StopReason::Destroyed));
    assert_eq!(after(vec![S(Step::Destroy), told(), S(Step::Destroyed)]), [destroy("destroy")]);
    assert_eq!(after(vec![S(Step::Destroy), S(Step::Destroyed), told()]), [destroy("destroy")]);
    assert_eq!(after(vec![told()]), [destroy("destroyed-by-others")]);
    assert_eq!(after(vec![told(), told()]), [destroy("destroyed-by-others")]);
    assert_eq!(
        after(vec![S(Step::Destroy), told(), S(Step::DestroyFailed)]),
        [destroy("destroyed-by-others")]
    );
    assert_eq!(after(vec![S(Step::Destroy), S(Step::DestroyFailed)]), []);
    let off = E(Lifecycle::Shutdown(ShutdownReason::Guest));
    assert_eq!(after(vec![off, E(stopped(StopReason::Shutdown))]), [destroy("shutdown")]);
    assert_eq!(after(vec![E(stopped(StopReason::Crashed))]), [destroy("crashed")]);
    assert_eq!(after(vec![E(stopped(StopReason::Failed))]), [destroy("failed")]);
}

#[test]
fn a_guest_that_boots_again_is_heard_as_before() {
    let boot = || vec![E(RESUMED), E(STARTED), E(Lifecycle::Shutdown(ShutdownReason::Guest))];
    for back in [vec![], vec![E(RESUMED)]] {
        let mut inputs = boot();
        inputs.extend(back);
        inputs.extend([E(SUSPENDED), E(RESUMED)]);
        let (afters, phase) = run(QEMU, inputs);
        assert_eq!(afters.concat(), [After::Start, After::Pause("pause"), After::Cont]);
        assert_eq!(phase, Phase::Up);
    }
}

#[test]
fn a_late_stop_does_not_end_the_next_life() {
    let inputs = [
        E(RESUMED),
        E(STARTED),
        S(Step::Destroy),
        S(Step::Destroyed),
        S(Step::Start),
        E(stopped(StopReason::Destroyed)),
        E(RESUMED),
        E(STARTED),
        S(Step::Started { paused: false }),
        E(stopped(StopReason::Crashed)),
    ];
    assert_eq!(due(inputs), [After::Start, destroy("destroy"), After::Start, destroy("crashed")]);
}

#[test]
fn an_end_that_was_not_heard_of_is_told_before_the_next_life() {
    let vanished = destroy("vanished");
    let restart = |tell: &[In], rest: &[In]| {
        let up = [E(RESUMED), E(STARTED)];
        let start = [S(Step::Start)];
        let inputs = up.iter().chain(tell).chain(&start).chain(rest).copied();
        run(QEMU, inputs.collect::<Vec<_>>()).0[2..].concat()
    };
    let begun = [E(RESUMED), E(STARTED), S(Step::Started { paused: false })];
    let word = E(stopped(StopReason::Destroyed));
    let crash = E(stopped(StopReason::Crashed));
    // Its word comes among those of the new life, or was lost: the new life ends once all the same.
    let late = [&[word][..], &begun, &[crash]].concat();
    assert_eq!(restart(&[], &late), [vanished, After::Start, destroy("crashed")]);
    assert_eq!(restart(&[], &[&begun[..], &[crash]].concat()), [vanished, After::Start, destroy("crashed")]);
    // One whose end began is told with why.
    let off = E(Lifecycle::Shutdown(ShutdownReason::Guest));
    assert_eq!(restart(&[off], &[word]), [destroy("shutdown")]);
    assert_eq!(due([E(RESUMED), E(STARTED), S(Step::Receive), word])[1..], [vanished]);
}

#[test]
fn a_stop_that_was_lost_with_a_connection_swallows_no_later_one() {
    let ended = [E(RESUMED), E(STARTED), S(Step::Destroy), S(Step::Destroyed)];
    let again = [E(RESUMED), E(STARTED), E(stopped(StopReason::Crashed))];
    let expected = [After::Start, destroy("destroy"), After::Start, destroy("crashed")];
    // Another's start; ours.
    assert_eq!(due(ended.into_iter().chain(again)), expected);
    let ours = [S(Step::Start), again[0], again[1], S(Step::Started { paused: false }), again[2]];
    assert_eq!(due(ended.into_iter().chain(ours)), expected);
    // Ours, whose own events come late.
    let late = [S(Step::Start), S(Step::Started { paused: false }), again[0], again[1], again[2]];
    assert_eq!(due(ended.into_iter().chain([S(Step::Reconnected)]).chain(late)), expected);
}

#[test]
fn what_a_save_stops_is_paused_only_if_the_save_fails() {
    let saving = |rest: &[In]| {
        let begin = [E(RESUMED), E(STARTED), S(Step::Save)];
        due(begin.into_iter().chain(rest.iter().copied()))[1..].to_vec()
    };
    let saved = E(stopped(StopReason::Saved));
    let hibernated = [After::Hibernate, After::Destroy { reason: "hibernate", with_before: true }];
    assert_eq!(saving(&[E(SUSPENDED), saved]), hibernated);
    let failed = S(Step::SaveFailed);
    assert_eq!(saving(&[E(SUSPENDED), E(RESUMED), failed]), [], "it ran before and runs on");
    assert_eq!(saving(&[E(SUSPENDED), failed, E(RESUMED)]), [After::Pause("pause"), After::Cont]);
    assert_eq!(saving(&[failed, E(SUSPENDED), E(RESUMED)]), [After::Pause("pause"), After::Cont]);
}

#[test]
fn a_vm_that_dies_as_it_starts_is_told_after_its_start() {
    let inputs = [
        S(Step::Start),
        E(RESUMED),
        E(STARTED),
        E(stopped(StopReason::Failed)),
        S(Step::Started { paused: false }),
    ];
    assert_eq!(
        run(QEMU, inputs),
        (vec![vec![], vec![], vec![], vec![], vec![After::Start, destroy("failed")]], Phase::Down)
    );
    // One that never came up is cleaned up by the operation.
    assert_eq!(due([S(Step::Start), E(stopped(StopReason::Failed)), S(Step::StartFailed)]), []);
}

#[test]
fn migrations_have_their_room() {
    let inputs = [
        E(RESUMED),
        E(STARTED),
        E(Lifecycle::Suspended(SuspendReason::Migrated)),
        E(stopped(StopReason::Migrated)),
    ];
    assert_eq!(
        due(inputs)[1..],
        [After::MigrateSource, After::Destroy { reason: "migrate", with_before: true }]
    );
    let arrives = || E(Lifecycle::Started(StartReason::Migrated));
    assert_eq!(due([arrives(), E(Lifecycle::Resumed(ResumeReason::Migrated))]), [After::MigrateDestination]);
    assert_eq!(due([arrives(), E(SUSPENDED)]), [After::MigrateDestination]);
    assert_eq!(due([arrives(), E(stopped(StopReason::Failed))]), []);
}

#[test]
fn migrations_of_ours_follow_from_what_libvirt_tells() {
    let away = Lifecycle::Suspended(SuspendReason::Migrated);
    let gone = [After::MigrateSource, After::Destroy { reason: "migrate", with_before: true }];
    let up = [E(RESUMED), E(STARTED)];
    let begun = |rest: &[In]| due(up.into_iter().chain([S(Step::Migrate)]).chain(rest.iter().copied()));
    assert_eq!(begun(&[E(away), E(stopped(StopReason::Migrated))])[1..], gone);
    // One that failed is where it was, and hooks were told nothing; a later end is a plain one.
    let back = E(Lifecycle::Resumed(ResumeReason::Migrated));
    let failed = [E(away), S(Step::MigrateFailed), back, E(stopped(StopReason::Crashed))];
    assert_eq!(begun(&failed)[1..], [destroy("crashed")]);
    assert_eq!(begun(&[S(Step::MigrateFailed), E(SUSPENDED)])[1..], [After::Pause("pause")]);
    // At the destination.
    let arrives = E(Lifecycle::Started(StartReason::Migrated));
    assert_eq!(due([S(Step::Receive), arrives, back]), [After::MigrateDestination]);
    assert_eq!(due([S(Step::Receive), arrives, E(stopped(StopReason::Failed)), S(Step::ReceiveFailed)]), []);
    assert_eq!(run(QEMU, [S(Step::Receive), arrives, back, S(Step::ReceiveFailed)]).1, Phase::Up);
}

#[test]
fn what_is_found_after_events_were_missed() {
    let found = |phase, found| Life::resumed(QEMU, phase).step(Step::Found(found));
    assert_eq!(found(Phase::Up, Found::Gone), [destroy("vanished")]);
    assert_eq!(found(Phase::Paused, Found::Gone), [destroy("vanished")]);
    assert_eq!(found(Phase::GoingDown, Found::Gone), [destroy("vanished")]);
    assert_eq!(found(Phase::Down, Found::Gone), []);
    assert_eq!(found(Phase::Starting, Found::Gone), []);
    assert_eq!(found(Phase::Saving, Found::Gone)[0], After::Hibernate);
    assert_eq!(found(Phase::Pausing, Found::Paused), [After::Pause("pause")]);
    assert_eq!(found(Phase::Pausing, Found::Running), []);
    assert_eq!(found(Phase::Up, Found::Paused), [After::Pause("pause")]);
    assert_eq!(found(Phase::Paused, Found::Running), [After::Cont]);
    assert_eq!(found(Phase::Starting, Found::Running), [After::Start]);
    assert_eq!(found(Phase::Down, Found::Running), [], "adopted");
    assert_eq!(found(Phase::MigratingOut, Found::Gone)[0], After::MigrateSource);
    assert_eq!(found(Phase::MigratingOut, Found::Running), []);
    assert_eq!(found(Phase::MigratingIn, Found::Running), [After::MigrateDestination]);
    assert_eq!(found(Phase::MigratingIn, Found::Migrating), [], "still on its way");
    // Once only.
    let mut life = Life::resumed(QEMU, Phase::Up);
    life.step(Step::Found(Found::Gone));
    assert_eq!(life.step(Step::Found(Found::Gone)), []);
}

#[test]
fn every_phase_takes_every_input() {
    let phases = [
        Phase::Down,
        Phase::Starting,
        Phase::Up,
        Phase::Pausing,
        Phase::Paused,
        Phase::Saving,
        Phase::MigratingOut,
        Phase::MigratingIn,
        Phase::GoingDown,
    ];
    for phase in phases {
        for event in all_events() {
            let afters = Life::resumed(QEMU, phase).event(event);
            assert!(afters.len() <= 2, "{phase:?} {event:?}");
        }
        for step in all_steps() {
            let afters = Life::resumed(QEMU, phase).step(step);
            assert!(afters.len() <= 2, "{phase:?} {step:?}");
        }
        let json = serde_json::to_value(phase).unwrap();
        assert_eq!(json, phase.name());
    }
}

fn all_events() -> Vec<Lifecycle> {
    (0..9).flat_map(|event| (0..9).map(move |detail| Lifecycle::from_raw(event, detail))).collect()
}

fn all_steps() -> Vec<Step> {
    vec![
        Step::Start,
        Step::Started { paused: false },
        Step::Started { paused: true },
        Step::Restored,
        Step::StartFailed,
        Step::Pause,
        Step::PauseFailed,
        Step::Save,
        Step::SaveFailed,
        Step::Destroy,
        Step::Destroyed,
        Step::DestroyFailed,
        Step::Found(Found::Gone),
        Step::Found(Found::Running),
        Step::Found(Found::Paused),
        Step::Found(Found::Migrating),
        Step::Migrate,
        Step::MigrateFailed,
        Step::Receive,
        Step::ReceiveFailed,
        Step::Reconnected,
    ]
}

fn any_input() -> impl Strategy<Value = Result<Step, Lifecycle>> {
    prop_oneof![
        proptest::sample::select(all_steps()).prop_map(Ok),
        proptest::sample::select(all_events()).prop_map(Err),
    ]
}

proptest! {
    /// Whatever libvirt tells, in whatever order: pauses and continues alternate, and no life ends twice.
    #[test]
    fn events_alone_end_a_life_once(events in proptest::collection::vec(proptest::sample::select(all_events()), 0..60)) {
        let mut life = Life::new(QEMU);
        let mut ends = 0usize;
        let mut begins = 0usize;
        let mut paused = None;
        for event in events {
            let before = life.phase();
            for after in life.event(event) {
                match after {
                    After::Start | After::Dehibernate { .. } | After::MigrateDestination => {
                        begins += 1;
                        paused = None;
                    }
                    After::Destroy { .. } => ends += 1,
                    After::Pause(_) => {
                        prop_assert_ne!(paused, Some(true));
                        paused = Some(true);
                    }
                    After::Cont => {
                        prop_assert_ne!(paused, Some(false));
                        paused = Some(false);
                    }
                    After::Hibernate | After::MigrateSource => {}
                }
            }
            // A pause that fires nothing, such as a watchdog's, is no end of the alternation.
            if matches!(event, Lifecycle::Suspended(_) | Lifecycle::Resumed(_)) {
                paused = None;
            }
            prop_assert!(ends <= begins, "ended {ends} times, begun {begins}");
            if before == Phase::Down && matches!(event, Lifecycle::Stopped(_)) {
                prop_assert_eq!(life.phase(), Phase::Down);
            }
        }
    }

    /// A VM that is down stays down until something starts it, and nothing is due meanwhile.
    #[test]
    fn nothing_is_due_of_a_vm_that_is_down(inputs in proptest::collection::vec(any_input(), 0..40)) {
        let mut life = Life::new(QEMU);
        for input in inputs {
            match input { Ok(step) => life.step(step), Err(event) => life.event(event) };
        }
        life.step(Step::Found(Found::Gone));
        prop_assert_eq!(life.phase(), Phase::Down);
        for event in all_events().into_iter().filter(|e| matches!(e,
            Lifecycle::Stopped(_) | Lifecycle::Suspended(_) | Lifecycle::Shutdown(_) | Lifecycle::Defined(_)
                | Lifecycle::Undefined(_) | Lifecycle::PmSuspended(_) | Lifecycle::Crashed(_))) {
            prop_assert_eq!(life.event(event), vec![]);
        }
        prop_assert_eq!(life.step(Step::Found(Found::Gone)), vec![]);
    }
}
