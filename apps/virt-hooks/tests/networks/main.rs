// SPDX-License-Identifier: Apache-2.0
//! `host setup-networks` on real devices, each test in a network namespace of its own.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

mod bed;
mod guest;

use bed::{Bed, Namespace, ended, points};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::process::Command;

/// Its name, and what it does.
type Test = (&'static str, fn() -> Result);
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const TESTS: &[Test] = &[
    (
        "a_bridge_takes_over_its_nics_address_and_gives_it_back",
        a_bridge_takes_over_its_nics_address_and_gives_it_back,
    ),
    ("a_network_without_bridge_is_on_its_nic", a_network_without_bridge_is_on_its_nic),
    (
        "the_default_route_moves_and_its_loser_is_in_the_request",
        the_default_route_moves_and_its_loser_is_in_the_request,
    ),
    (
        "c14_points_after_it_see_the_request_as_it_was_carried_out",
        c14_points_after_it_see_the_request_as_it_was_carried_out,
    ),
    (
        "c15_each_point_before_has_one_after_and_none_comes_alone",
        c15_each_point_before_has_one_after_and_none_comes_alone,
    ),
    ("c16_a_rollback_has_events_of_its_own", c16_a_rollback_has_events_of_its_own),
    ("c16_no_hook_stops_a_rollback", c16_no_hook_stops_a_rollback),
    ("c17_an_edited_request_is_checked_again", c17_an_edited_request_is_checked_again),
    ("a_veto_leaves_nothing_changed", a_veto_leaves_nothing_changed),
    ("one_request_at_a_time", one_request_at_a_time),
    ("what_is_in_use_stays", what_is_in_use_stays),
    ("an_interrupt_leaves_nothing_changed", an_interrupt_leaves_nothing_changed),
    (
        "what_a_killed_request_left_is_rolled_back_by_the_next",
        what_a_killed_request_left_is_rolled_back_by_the_next,
    ),
    ("killed_at_any_step_all_is_as_it_was_before", killed_at_any_step_all_is_as_it_was_before),
    ("a_way_back_that_failed_is_tried_again_by_the_next", a_way_back_that_failed_is_tried_again_by_the_next),
    (
        "c15_killed_in_a_hook_the_next_request_fires_the_point_after_it",
        c15_killed_in_a_hook_the_next_request_fires_the_point_after_it,
    ),
    ("connectivity_is_what_the_gateway_says", connectivity_is_what_the_gateway_says),
    ("nmstatectl_gets_the_state_and_commits", nmstatectl_gets_the_state_and_commits),
    ("nmstatectl_rolls_back_what_does_not_answer", nmstatectl_rolls_back_what_does_not_answer),
];

fn main() {
    let missing = missing();
    if let Some(reason) = &missing {
        eprintln!("tests of networks are ignored: {reason}");
    }
    let trials = TESTS.iter().map(|(name, test)| {
        let needs = if missing.is_some() { "::needs_ip_netns" } else { "" };
        Trial::test(format!("{name}{needs}"), || test().map_err(Failed::from))
            .with_ignored_flag(missing.is_some())
    });
    let arguments = Arguments::from_args();
    // Fetching takes a while: only for whoever lists all tests, or wants this one.
    const GUEST: &str = "bonds_and_vlans_are_set_up_rolled_back_and_removed";
    let wanted = arguments.filter.as_deref().is_none_or(|filter| GUEST.contains(filter));
    let guest = guest::debian(wanted).err();
    if let Some(reason) = guest.as_ref().filter(|_| wanted) {
        eprintln!("the test of bonds and VLANs is ignored: {reason}");
    }
    let name = if guest.is_some() { format!("{GUEST}::needs_debian_kernel") } else { GUEST.to_owned() };
    let guest = Trial::test(name, || {
        guest::bonds_and_vlans_are_set_up_rolled_back_and_removed().map_err(Failed::from)
    })
    .with_ignored_flag(guest.is_some());
    libtest_mimic::run(&arguments, trials.chain([guest]).collect()).exit();
}

fn missing() -> Option<String> {
    match Namespace::new() {
        Ok(namespace) => {
            let veth = ["-n", namespace.name(), "link", "add", "vh0", "type", "veth", "peer", "name", "vh1"];
            let made = Command::new("ip").args(veth).output().ok()?;
            (!made.status.success()).then(|| String::from_utf8_lossy(&made.stderr).trim().to_owned())
        }
        Err(e) => Some(format!("no network namespace can be made ({e}); be root, install iproute2")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is always made on the spot")]
fn networks(networks: Value) -> Value {
    json!({"networks": networks})
}

/// A NIC with an address and the default route, as an installer leaves it.
fn installed() -> Result<Bed> {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    bed.namespace.ip("address add 192.0.2.10/24 broadcast + dev nic0");
    bed.namespace.ip("route add default via 192.0.2.1 dev nic0 proto static");
    Ok(bed)
}

fn mgmt() -> Value {
    json!({"nic": "nic0", "ipaddr": "192.0.2.10", "prefix": 24, "gateway": "192.0.2.1", "defaultRoute": true})
}

fn a_bridge_takes_over_its_nics_address_and_gives_it_back() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    let (code, said) = bed.run(&networks(json!({"mgmt": mgmt()})))?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("set up: networks, with ip, until the next boot"), "{said}");
    let nic = bed.device("nic0");
    assert_eq!(nic["master"], "mgmt");
    let bridge = bed.device("mgmt");
    assert_eq!(bridge["linkinfo"]["info_kind"], "bridge");
    let addresses: Vec<_> =
        bridge["addr_info"].as_array().unwrap().iter().filter(|a| a["scope"] != "link").collect();
    assert_eq!(addresses.len(), 1);
    assert_eq!((&addresses[0]["local"], &addresses[0]["prefixlen"]), (&"192.0.2.10".into(), &24.into()));
    let routes = bed.namespace.json("route show default");
    assert_eq!(
        (routes.len(), &routes[0]["dev"], &routes[0]["gateway"]),
        (1, &"mgmt".into(), &"192.0.2.1".into())
    );
    let seen = bed.seen()?;
    assert_eq!(points(&seen), ["before_network_setup", "after_network_setup"]);
    let expected = json!({
        "networks": {"mgmt": {"nic": "nic0", "bridged": true, "stp": false, "mtu": 1500, "bootproto": "none",
            "ipaddr": "192.0.2.10", "netmask": "255.255.255.0", "gateway": "192.0.2.1", "dhcpv6": false,
            "ipv6autoconf": false, "defaultRoute": true, "nameservers": [], "switch": "legacy"}},
        "bondings": {}, "options": {"connectivityCheck": false, "connectivityTimeout": 120}});
    assert!(seen.iter().all(|s| s.request == expected && s.reason == "setup-networks"), "{seen:?}");
    // Once more is no change.
    let is = bed.picture();
    assert_eq!(bed.run(&networks(json!({"mgmt": mgmt()})))?.0, 0);
    assert_eq!(bed.picture(), is);
    // Back: the bridge goes, and a network without bridge takes its place.
    let mut plain = mgmt();
    plain["bridged"] = false.into();
    let (code, said) = bed.run(&networks(json!({"mgmt": {"remove": true}, "plain": plain})))?;
    assert_eq!(code, 0, "{said}");
    assert_eq!(bed.picture(), before);
    Ok(())
}

fn a_network_without_bridge_is_on_its_nic() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    let before = bed.picture();
    let storage = json!({"nic": "nic0", "bridged": false, "mtu": 9000, "ipaddr": "198.51.100.5", "netmask": "255.255.255.0",
        "ipv6addr": "2001:db8::5/64"});
    let (code, said) = bed.run(&networks(json!({"storage": storage})))?;
    assert_eq!(code, 0, "{said}");
    let nic = bed.device("nic0");
    assert_eq!(nic["mtu"], 9000);
    let locals: Vec<&str> = nic["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["scope"] != "link")
        .map(|a| a["local"].as_str().unwrap())
        .collect();
    assert_eq!(locals, ["198.51.100.5", "2001:db8::5"]);
    // Removed by its name: the record knows what it was. The MTU of the NIC is nobody's to give back.
    assert_eq!(bed.run(&networks(json!({"storage": {"remove": true}})))?.0, 0);
    let mut after = bed.picture();
    after
        .iter_mut()
        .for_each(|line| *line = line.replace("nic0 \"veth\" mtu 9000", "nic0 \"veth\" mtu 1500"));
    assert_eq!(after, before);
    let (code, said) = bed.run(&networks(json!({"storage": {"remove": true}})))?;
    assert_eq!(code, 3);
    assert!(said.contains("network storage: there is no such network to remove"), "{said}");
    Ok(())
}

fn the_default_route_moves_and_its_loser_is_in_the_request() -> Result {
    let bed = installed()?;
    bed.namespace.nic("nic1");
    assert_eq!(bed.run(&networks(json!({"mgmt": mgmt()})))?.0, 0);
    bed.seen()?;
    let other = json!({"nic": "nic1", "bridged": false, "ipaddr": "198.51.100.5", "prefix": 24, "gateway": "198.51.100.1",
        "defaultRoute": true});
    let (code, said) = bed.run(&networks(json!({"other": other})))?;
    assert_eq!(code, 0, "{said}");
    let routes = bed.namespace.json("route show default");
    assert_eq!((routes.len(), &routes[0]["gateway"]), (1, &"198.51.100.1".into()));
    let seen = bed.seen()?;
    let loser = &seen[0].request["networks"]["mgmt"];
    assert_eq!(
        (&loser["defaultRoute"], &loser["ipaddr"], loser.get("gateway")),
        (&false.into(), &"192.0.2.10".into(), None)
    );
    Ok(())
}

fn c14_points_after_it_see_the_request_as_it_was_carried_out() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    bed.hook("before_network_setup", "50_mtu", "sed -i 's/\"mtu\":1500/\"mtu\":\"1400\"/' \"$_hook_json\"")?;
    let (code, said) = bed.run(&networks(json!({"lab": {"nic": "nic0"}})))?;
    assert_eq!(code, 0, "{said}");
    assert_eq!((&bed.device("lab")["mtu"], &bed.device("nic0")["mtu"]), (&1400.into(), &1400.into()));
    let seen = bed.seen()?;
    assert_eq!(points(&seen), ["before_network_setup", "after_network_setup"]);
    // Normalised again: a number.
    assert_eq!(seen[1].request["networks"]["lab"]["mtu"], 1400);
    Ok(())
}

fn c15_each_point_before_has_one_after_and_none_comes_alone() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    for (request, words) in [
        (networks(json!({"lab": {"nick": "nic0"}})), "did you mean \"nic\"?"),
        (networks(json!({"lab": {"nic": "nic7"}})), "this host has no NIC nic7"),
        (networks(json!({"lab": {"nic": "nic0", "bootproto": "dhcp"}})), "needs nmstate"),
        (json!({"networks": {}, "options": {"connectivityCheck": true}}), "this host would have none"),
    ] {
        let (code, said) = bed.run(&request)?;
        assert_eq!(code, 3);
        assert!(said.contains(words), "{said}");
        assert_eq!(points(&bed.seen()?), Vec::<&str>::new(), "refused before any hook");
    }
    assert_eq!(bed.run(&networks(json!({"lab": {"nic": "nic0"}})))?.0, 0);
    assert_eq!(points(&bed.seen()?), ["before_network_setup", "after_network_setup"]);
    bed.hook("before_network_setup", "95_no", "exit 1")?;
    assert_eq!(bed.run(&networks(json!({"lab": {"remove": true}})))?.0, 1);
    assert_eq!(points(&bed.seen()?), ["before_network_setup", "after_network_setup_fail"]);
    Ok(())
}

/// A request whose second half the kernel refuses: nothing on a NIC can be larger than the NIC below.
fn half_good(bed: &Bed) -> Value {
    bed.namespace.nic("nic1");
    bed.namespace.ip("link add link nic1 name upper type macvlan");
    networks(json!({"mgmt": mgmt(), "zone": {"nic": "upper", "mtu": 9000}}))
}

fn c16_a_rollback_has_events_of_its_own() -> Result {
    let bed = installed()?;
    let request = half_good(&bed);
    let before = bed.picture();
    let (code, said) = bed.run(&request)?;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("all was rolled back"), "{said}");
    assert_eq!(bed.picture(), before);
    let seen = bed.seen()?;
    assert_eq!(
        points(&seen),
        ["before_network_setup", "before_network_setup", "after_network_setup", "after_network_setup_fail"]
    );
    assert_eq!(
        seen.iter().map(|s| s.reason.as_str()).collect::<Vec<_>>(),
        ["setup-networks", "rollback", "rollback", "setup-networks"]
    );
    let options: Vec<_> = seen.iter().map(|s| s.request["options"]["_inRollback"].clone()).collect();
    assert_eq!(options, [Value::Null, true.into(), true.into(), Value::Null]);
    assert_eq!(seen[1].request["networks"], json!({"mgmt": {"remove": true}, "zone": {"remove": true}}));
    assert_eq!(seen[3].request["networks"]["zone"]["mtu"], 9000);
    // A network that was there before comes back as it was.
    assert_eq!(bed.run(&networks(json!({"mgmt": mgmt()})))?.0, 0);
    bed.seen()?;
    let before = bed.picture();
    let (code, _) =
        bed.run(&networks(json!({"mgmt": {"remove": true}, "zone": {"nic": "upper", "mtu": 9000}})))?;
    assert_eq!((code, bed.picture()), (4, before));
    assert_eq!(bed.seen()?[1].request["networks"]["mgmt"]["ipaddr"], "192.0.2.10");
    Ok(())
}

fn c16_no_hook_stops_a_rollback() -> Result {
    let bed = installed()?;
    let request = half_good(&bed);
    let before = bed.picture();
    bed.hook("before_network_setup", "95_no", "grep -q _inRollback \"$_hook_json\" && exit 2; exit 0")?;
    let (code, said) = bed.run(&request)?;
    assert_eq!((code, bed.picture()), (4, before), "{said}");
    assert_eq!(points(&bed.seen()?)[2..], ["after_network_setup", "after_network_setup_fail"]);
    Ok(())
}

fn c17_an_edited_request_is_checked_again() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    let before = bed.picture();
    let request = networks(json!({"lab": {"nic": "nic0"}}));
    for (edit, words) in [
        ("s/\"nic\":\"nic0\"/\"nic\":\"nic7\"/", "this host has no NIC nic7"),
        ("s/\"stp\"/\"sttp\"/", "did you mean \"stp\"?"),
        ("s/\"bondings\":{},//", "the request has no \"bondings\""),
    ] {
        bed.hook("before_network_setup", "50_edit", &format!("sed -i '{edit}' \"$_hook_json\""))?;
        let (code, said) = bed.run(&request)?;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("as hooks of before_network_setup left it") && said.contains(words), "{said}");
        assert_eq!(bed.picture(), before);
        assert_eq!(points(&bed.seen()?), ["before_network_setup", "after_network_setup_fail"]);
    }
    // A whole network more, in a client's short form: its defaults are filled in.
    bed.hook(
        "before_network_setup",
        "50_edit",
        "sed -i 's/\"networks\":{/\"networks\":{\"more\":{\"ipaddr\":\"192.0.2.9\",\"prefix\":24},/' \"$_hook_json\"",
    )?;
    let (code, said) = bed.run(&request)?;
    assert_eq!(code, 0, "{said}");
    assert_eq!(bed.seen()?[1].request["networks"]["more"]["netmask"], "255.255.255.0");
    assert_eq!(bed.device("more")["linkinfo"]["info_kind"], "bridge");
    Ok(())
}

fn a_veto_leaves_nothing_changed() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    bed.hook("before_network_setup", "95_no", "echo the storage is on it >&2; exit 2")?;
    let (code, said) = bed.run(&networks(json!({"mgmt": mgmt()})))?;
    assert_eq!(code, 1);
    let words = "set up networks: vetoed at before_network_setup: Hook Error: 95_no: exit code 2: the storage is on it";
    assert!(said.contains(words), "{said}");
    assert_eq!(bed.picture(), before);
    assert!(!bed.path("state/networks.json").exists());
    Ok(())
}

fn one_request_at_a_time() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    let fifo = bed.path("go");
    assert!(Command::new("mkfifo").arg(&fifo).status()?.success());
    bed.hook("before_network_setup", "95_wait", &format!("cat '{}' >/dev/null", fifo.display()))?;
    let request = networks(json!({"lab": {"nic": "nic0"}}));
    let first = bed.command(&request.to_string(), &["--backend", "ip"])?.spawn()?;
    // Opens when the hook has it open at its end: the first is under way.
    let go = fs::File::options().write(true).open(&fifo)?;
    let (code, said) = bed.run(&request)?;
    assert_eq!(code, 3);
    assert!(said.contains("networks are being set up already"), "{said}");
    drop(go);
    assert_eq!(ended(first)?.0, 0);
    assert_eq!(points(&bed.seen()?), ["before_network_setup", "after_network_setup"], "of the first only");
    Ok(())
}

fn what_is_in_use_stays() -> Result {
    let bed = Bed::new()?;
    bed.namespace.nic("nic0");
    bed.namespace.nic("vnet0");
    assert_eq!(bed.run(&networks(json!({"lab": {"nic": "nic0"}})))?.0, 0);
    bed.namespace.ip("link set vnet0 master lab");
    bed.seen()?;
    let (code, said) = bed.run(&networks(json!({"lab": {"remove": true}})))?;
    assert_eq!(code, 3);
    assert!(said.contains("network lab is in use by vnet0: stop the VMs there first"), "{said}");
    // A change does not throw them out.
    assert_eq!(bed.run(&networks(json!({"lab": {"nic": "nic0", "mtu": 1400}})))?.0, 0);
    assert_eq!((&bed.device("vnet0")["master"], &bed.device("lab")["mtu"]), (&"lab".into(), &1400.into()));
    Ok(())
}

fn an_interrupt_leaves_nothing_changed() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    let fifo = bed.path("go");
    assert!(Command::new("mkfifo").arg(&fifo).status()?.success());
    bed.hook("before_network_setup", "80_wait", &format!("cat '{}' >/dev/null", fifo.display()))?;
    let child = bed.command(&networks(json!({"mgmt": mgmt()})).to_string(), &["--backend", "ip"])?.spawn()?;
    let _go = fs::File::options().write(true).open(&fifo)?;
    // `ip netns exec` becomes the command, so the process is the command's.
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)?;
    let (code, said) = ended(child)?;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("interrupted: nothing was changed"), "{said}");
    assert_eq!(bed.picture(), before);
    assert_eq!(points(&bed.seen()?), ["after_network_setup_fail"], "the spy before it was not reached");
    Ok(())
}

fn what_a_killed_request_left_is_rolled_back_by_the_next() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    // Kills the command as it is about to take the address from the NIC.
    bed.program(
        "ip",
        "case \"$*\" in 'address del'*) kill -9 $PPID; exit 1;; esac\nexec $(PATH=${PATH#*:} command -v ip) \"$@\"",
    )?;
    let killed =
        bed.command(&networks(json!({"mgmt": mgmt()})).to_string(), &["--backend", "ip"])?.spawn()?;
    assert!(ended(killed).is_err(), "it was killed");
    assert_ne!(bed.picture(), before, "half-done");
    assert_eq!(points(&bed.seen()?), ["before_network_setup"]);
    fs::remove_file(bed.path("bin/ip"))?;
    let (code, said) = bed.run(&networks(json!({})))?;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("warning: an earlier request did not get to its end: it is rolled back first"),
        "{said}"
    );
    assert_eq!(bed.picture(), before);
    let seen = bed.seen()?;
    let fired = [
        ("before_network_setup", "rollback"),
        ("after_network_setup", "rollback"),
        ("after_network_setup_fail", "setup-networks"),
        ("before_network_setup", "setup-networks"),
        ("after_network_setup", "setup-networks"),
    ];
    assert_eq!(seen.iter().map(|s| (s.point.as_str(), s.reason.as_str())).collect::<Vec<_>>(), fired);
    assert_eq!(seen[2].request["networks"]["mgmt"]["ipaddr"], "192.0.2.10");
    // And that is the end of it.
    let (_, said) = bed.run(&networks(json!({})))?;
    assert!(!said.contains("warning"), "{said}");
    Ok(())
}

/// Stands in the place of `ip` where that changes something: `body` sees its arguments, and how many such calls there
/// were before in `$n`.
fn meddle(bed: &Bed, body: &str) -> Result {
    let count = bed.path("changes");
    let count = count.display();
    bed.program(
        "ip",
        &format!(
            "case \"$1\" in -*|netns) ;; *) touch '{count}'; n=$(wc -l <'{count}'); echo >>'{count}'\n{body}\n;; esac\n\
             exec $(PATH=${{PATH#*:}} command -v ip) \"$@\""
        ),
    )
}

fn killed_at_any_step_all_is_as_it_was_before() -> Result {
    let change = networks(json!({
        "mgmt": {"remove": true},
        "lab": {"nic": "nic1", "ipaddr": "198.51.100.7", "prefix": 24, "mtu": 1400},
    }));
    for step in 0.. {
        let bed = installed()?;
        bed.namespace.nic("nic1");
        let (code, said) = bed.run(&networks(json!({"mgmt": mgmt()})))?;
        assert_eq!(code, 0, "{said}");
        let (record, pending) = (bed.path("state/networks.json"), bed.path("run/networks.pending.json"));
        let kept = bed.path("kept.json");
        let before = (bed.picture(), fs::read_to_string(&record)?);
        let keep = format!("cp '{}' '{}'", pending.display(), kept.display());
        meddle(&bed, &format!("{keep}; [ $n -lt {step} ] || {{ kill -9 $PPID; exit 1; }}"))?;
        let killed = ended(bed.command(&change.to_string(), &["--backend", "ip"])?.spawn()?).is_err();
        fs::remove_file(bed.path("bin/ip"))?;
        if !killed {
            assert!(step > 5, "{step}");
            assert_ne!((bed.picture(), fs::read_to_string(&record)?), before);
            assert!(!pending.exists());
            // As if the last thing it did had been to record what it did.
            fs::copy(&kept, &pending)?;
        }
        let (code, said) = bed.run(&networks(json!({})))?;
        assert_eq!(code, 0, "{step}: {said}");
        assert!(said.contains("did not get to its end: it is rolled back first"), "{step}: {said}");
        assert_eq!((bed.picture(), fs::read_to_string(&record)?), before, "{step}");
        assert!(!pending.exists(), "{step}");
        if !killed {
            break;
        }
    }
    Ok(())
}

fn a_way_back_that_failed_is_tried_again_by_the_next() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    meddle(&bed, "case \"$*\" in *' master mgmt'|'link del dev mgmt') echo no >&2; exit 1;; esac")?;
    let (code, said) = bed.run(&networks(json!({"mgmt": mgmt()})))?;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("the roll-back failed too"), "{said}");
    assert!(said.contains("the next request tries to roll back again"), "{said}");
    assert_ne!(bed.picture(), before);
    let fired = |bed: &Bed| -> Result<Vec<String>> {
        Ok(bed.seen()?.iter().map(|s| format!("{} {}", s.point, s.reason)).collect())
    };
    let way_back = ["before_network_setup rollback", "after_network_setup_fail rollback"];
    assert_eq!(
        fired(&bed)?,
        [
            "before_network_setup setup-networks",
            way_back[0],
            way_back[1],
            "after_network_setup_fail setup-networks"
        ]
    );
    // In vain: it says how to have it as it is, and does nothing else.
    let (code, said) = bed.run(&networks(json!({})))?;
    assert_ne!(code, 0);
    let pending = bed.path("run/networks.pending.json").display().to_string();
    assert!(said.contains(&format!("to leave it so, remove {pending}")), "{said}");
    assert_eq!(fired(&bed)?, way_back, "hooks know already that the request failed");
    fs::remove_file(bed.path("bin/ip"))?;
    let (code, said) = bed.run(&networks(json!({})))?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("warning: an earlier request did not get to its end"), "{said}");
    assert_eq!(bed.picture(), before);
    assert_eq!(
        fired(&bed)?,
        [
            way_back[0],
            "after_network_setup rollback",
            "before_network_setup setup-networks",
            "after_network_setup setup-networks"
        ]
    );
    Ok(())
}

fn c15_killed_in_a_hook_the_next_request_fires_the_point_after_it() -> Result {
    for (killed_at, told) in
        [("before_network_setup", "after_network_setup_fail"), ("after_network_setup", "after_network_setup")]
    {
        let bed = installed()?;
        let once = bed.path("killed");
        let once = once.display();
        bed.hook(killed_at, "10_kill", &format!("[ -e '{once}' ] || {{ : >'{once}'; kill -9 $PPID; }}"))?;
        let request = networks(json!({"mgmt": mgmt()}));
        let killed = bed.command(&request.to_string(), &["--backend", "ip"])?.spawn()?;
        assert!(ended(killed).is_err(), "it was killed");
        let left = bed.picture();
        // What the killed process left of a spy may have come to its end or not.
        let (code, said) = bed.run(&networks(json!({})))?;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("did not get to its end: its hooks are told first"), "{said}");
        assert_eq!(bed.picture(), left, "nothing is rolled back");
        let seen = bed.seen()?;
        let end = seen.iter().rev().nth(2).ok_or("too few points")?;
        assert_eq!((end.point.as_str(), end.reason.as_str()), (told, "setup-networks"));
        assert_eq!(end.request["networks"]["mgmt"]["ipaddr"], "192.0.2.10");
        let (_, said) = bed.run(&networks(json!({})))?;
        assert!(!said.contains("warning"), "{said}");
    }
    Ok(())
}

fn connectivity_is_what_the_gateway_says() -> Result {
    let bed = installed()?;
    let before = bed.picture();
    let request = json!({"networks": {"mgmt": mgmt()},
        "options": {"connectivityCheck": true, "connectivityTimeout": 2}});
    let (code, said) = bed.run(&request)?;
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains(
            "the default gateway 192.0.2.1 does not answer over mgmt within 2s; all was rolled back"
        ),
        "{said}"
    );
    assert_eq!(bed.picture(), before);
    // Somebody at the other end of the cable.
    let router = Namespace::new()?;
    bed.namespace.ip(&format!("link set nic0-peer netns {}", router.name()));
    router.ip("address add 192.0.2.1/24 dev nic0-peer");
    router.ip("link set nic0-peer up");
    let mut request = request;
    request["options"]["connectivityTimeout"] = 120.into();
    let (code, said) = bed.run(&request)?;
    assert_eq!(code, 0, "{said}");
    Ok(())
}

/// Notes its arguments and its standard input.
const NMSTATECTL: &str =
    "dir=$(dirname \"$0\"); echo \"$*\" >>$dir/calls; [ $1 = apply ] && cat >$dir/state; exit 0";

fn nmstatectl_gets_the_state_and_commits() -> Result {
    let bed = installed()?;
    bed.program("nmstatectl", NMSTATECTL)?;
    let request = json!({
        "networks": {
            "mgmt": {"bonding": "bond0", "ipaddr": "192.0.2.10", "prefix": 24, "gateway": "192.0.2.1",
                "defaultRoute": true, "nameservers": ["192.0.2.53"]},
            "storage": {"bonding": "bond0", "vlan": 27, "bridged": false, "bootproto": "dhcp", "mtu": 9000}},
        "bondings": {"bond0": {"nics": ["nic0"], "options": "mode=4 miimon=100"}},
        "options": {"commitOnSuccess": true}});
    let (code, said) = bed.run_with(&request, &["--backend", "nmstate"])?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("set up: networks, with nmstate\n"), "{said}");
    assert_eq!(fs::read_to_string(bed.path("bin/calls"))?, "apply --no-commit --timeout 180 -\ncommit\n");
    let state: Value = serde_json::from_str(&fs::read_to_string(bed.path("bin/state"))?)?;
    let off = json!({"enabled": false});
    let expected = json!({
        "interfaces": [
            {"name": "bond0", "type": "bond", "state": "up", "mtu": 9000, "ipv4": off, "ipv6": off,
             "link-aggregation": {"mode": "802.3ad", "options": {"miimon": "100"}, "port": ["nic0"]}},
            {"name": "bond0.27", "type": "vlan", "state": "up", "mtu": 9000,
             "vlan": {"base-iface": "bond0", "id": 27}, "ipv6": off,
             "ipv4": {"enabled": true, "dhcp": true, "auto-gateway": false, "auto-routes": false, "auto-dns": false}},
            {"name": "mgmt", "type": "linux-bridge", "state": "up", "mtu": 1500, "ipv6": off,
             "ipv4": {"enabled": true, "dhcp": false, "address": [{"ip": "192.0.2.10", "prefix-length": 24}]},
             "bridge": {"options": {"stp": {"enabled": false}}, "port": [{"name": "bond0"}]}},
            {"name": "nic0", "state": "up", "mtu": 9000, "ipv4": off, "ipv6": off}],
        "routes": {"config": [
            {"destination": "0.0.0.0/0", "next-hop-interface": "mgmt", "next-hop-address": "192.0.2.1"},
            {"destination": "0.0.0.0/0", "next-hop-interface": "nic0", "next-hop-address": "192.0.2.1", "state": "absent"}]},
        "dns-resolver": {"config": {"server": ["192.0.2.53"]}}});
    assert_eq!(state, expected, "{state:#}");
    // Recorded beyond the next boot.
    let record: Value = serde_json::from_slice(&fs::read(bed.path("state/networks.json"))?)?;
    assert_eq!(record.get("boot_id"), None);
    Ok(())
}

fn nmstatectl_rolls_back_what_does_not_answer() -> Result {
    let bed = installed()?;
    bed.program("nmstatectl", NMSTATECTL)?;
    let request = json!({"networks": {"mgmt": mgmt()},
        "options": {"connectivityCheck": true, "connectivityTimeout": 1}});
    assert_eq!(bed.run_with(&request, &["--backend", "nmstate"])?.0, 4);
    assert_eq!(fs::read_to_string(bed.path("bin/calls"))?, "apply --no-commit --timeout 181 -\nrollback\n");
    // What fails to be applied was rolled back by nmstate itself.
    bed.seen()?;
    bed.program("nmstatectl", "echo 'no such thing' >&2; exit 1")?;
    let (code, said) = bed.run_with(&request, &["--backend", "nmstate"])?;
    assert_eq!(code, 4);
    assert!(said.contains("no such thing; all was rolled back"), "{said}");
    assert_eq!(points(&bed.seen()?), ["before_network_setup", "after_network_setup_fail"]);
    // None at all.
    Ok(())
}
