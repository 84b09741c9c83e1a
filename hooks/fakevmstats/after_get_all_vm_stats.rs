// SPDX-License-Identifier: Apache-2.0
//! Replaces parts of the statistics of running VMs by made up ones.

use super::apps::APPS;
use super::random::Random;
use virt_hooks_sdk::VdsmConf;
use virt_hooks_sdk::serde_json::{Map, Value, json};
use virt_hooks_sdk::{Context, Failure};

const GIB: u64 = 1 << 30;

/// Least that is used of a file system.
const LEAST_USED: u64 = 256 << 20;

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    fake(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn fake(hook: &Context) -> Result<(), Failure> {
    if !VdsmConf::read(hook).is_on("fake_vmstats_enable")? {
        return Ok(());
    }
    let mut stats = hook.json()?;
    if !stats.is_array() {
        return Err(Failure::go_on("fakevmstats: expected statistics of VMs, a JSON list"));
    }
    let is_up = |vm: &Value| vm.get("status").and_then(Value::as_str) == Some("Up");
    if !stats.as_array().is_some_and(|vms| vms.iter().any(is_up)) {
        return Ok(());
    }
    let mut random = Random::new();
    for vm in stats.as_array_mut().into_iter().flatten().filter(|vm| is_up(vm)) {
        if let Value::Object(vm) = vm {
            fake_vm(vm, &mut random);
        }
    }
    Ok(stats.save()?)
}

fn fake_vm(vm: &mut Map<String, Value>, random: &mut Random) {
    // Hundredths of a per cent.
    let total = random.up_to(10_000);
    let user = random.up_to(total);
    vm.insert("cpuUser".into(), hundredths(user));
    vm.insert("cpuSys".into(), hundredths(total - user));
    set(vm, "memUsage", random.up_to(100));
    for disk in objects(vm, "disks") {
        for rate in ["readRate", "writeRate"] {
            set(disk, rate, random.up_to(1 << 31));
        }
        for latency in ["readLatency", "writeLatency", "flushLatency"] {
            set(disk, latency, random.up_to(1_000_000_000));
        }
    }
    for interface in objects(vm, "network") {
        for counter in ["rxDropped", "rxErrors", "txDropped", "txErrors"] {
            set(interface, counter, random.up_to(62));
        }
    }
    vm.insert("session".into(), "Unknown".into());
    fake_memory(vm, random);
    let usage = [("/", 20 * GIB), ("/boot", GIB), ("/home", 50 * GIB)].map(|(path, total)| {
        let used = LEAST_USED + random.up_to(total - LEAST_USED);
        json!({"path": path, "fs": "ext4", "total": total.to_string(), "used": used.to_string()})
    });
    vm.insert("diskUsage".into(), usage.to_vec().into());
    // What says who the VM is stays the same from call to call.
    if let Some(id) = vm.get("vmId").and_then(Value::as_str) {
        let id = id.replace('-', "");
        let name = format!("{id}.fakefqdn.com");
        if let Some(interfaces) = interfaces(&id) {
            vm.insert("netIfaces".into(), interfaces.into());
        }
        vm.insert("guestFQDN".into(), name.into());
    }
    vm.insert("appsList".into(), APPS.into());
}

fn fake_memory(vm: &mut Map<String, Value>, random: &mut Random) {
    let memory =
        vm.entry("memoryStats").or_insert_with(|| json!({"mem_total": (GIB << random.up_to(5)).to_string()}));
    let Value::Object(memory) = memory else { return };
    let total = memory.get("mem_total").and_then(|total| match total {
        Value::String(text) => text.trim().parse::<u64>().ok(),
        number => number.as_u64(),
    });
    if let Some(total) = total {
        let used = random.up_to(total.saturating_sub(1));
        let unused = random.up_to(used.saturating_sub(1));
        set(memory, "mem_unused", unused);
        set(memory, "mem_free", unused);
    }
    for counter in ["swap_in", "swap_out", "pageflt", "majflt"] {
        set(memory, counter, random.up_to(1024));
    }
}

/// The guest's interfaces, as the VM's id has them; none if it is no UUID.
fn interfaces(id: &str) -> Option<Vec<Value>> {
    let mut stream = IdBytes::new(id)?;
    // Says how many file systems more there are: never any.
    stream.next();
    let count = 1 + stream.next() % 3;
    let interface = |number| {
        let mac = [(); 6].map(|()| format!("{:02x}", stream.next())).join(":");
        let [a, b, c, d] = [(); 4].map(|()| stream.next());
        json!({
            "hw": mac,
            "inet": [format!("{a}.{b}.{c}.{d}")],
            "inet6": [format!("0:0:0:0:0:ffff:{a:x}{b:02x}:{c:x}{d:02x}")],
            "name": format!("eth{number}"),
        })
    };
    Some((0..count).map(interface).collect())
}

/// The bytes of an id over and over, one more added to each of them each time.
struct IdBytes {
    bytes: [u8; 16],
    at: usize,
}

impl IdBytes {
    fn new(id: &str) -> Option<Self> {
        let is_uuid = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let value = is_uuid.then(|| u128::from_str_radix(id, 16).ok())??;
        Some(Self { bytes: value.to_be_bytes(), at: 0 })
    }

    fn next(&mut self) -> u8 {
        let byte = self.bytes.get_mut(self.at);
        self.at = (self.at + 1) % 16;
        byte.map_or(0, |byte| {
            let now = *byte;
            *byte = now.wrapping_add(1);
            now
        })
    }
}

fn objects<'v>(
    vm: &'v mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> + use<'v> {
    let all = vm.get_mut(key).and_then(Value::as_object_mut);
    all.into_iter().flat_map(|all| all.values_mut()).filter_map(Value::as_object_mut)
}

fn set(object: &mut Map<String, Value>, key: &str, value: u64) {
    object.insert(key.into(), value.to_string().into());
}

fn hundredths(value: u64) -> Value {
    format!("{}.{:02}", value / 100, value % 100).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::serde_json;

    const ID: &str = "b5622e62-5d1a-4c69-af78-7f70d629869d";

    fn with(conf: &str, json: &str) -> Context {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("etc/vdsm")).unwrap();
        std::fs::write(host.path().join("etc/vdsm/vdsm.conf"), conf).unwrap();
        let mut hook = Context::for_test().with_host(host.path()).with_json(json);
        let result = run(&mut hook);
        if let Err(failure) = result {
            hook.log(&failure);
            assert_eq!(failure.exit_code(), 1);
        }
        hook
    }

    fn faked(json: &str) -> Value {
        serde_json::from_str(&with("[vars]\nfake_vmstats_enable = true\n", json).json_text()).unwrap()
    }

    fn number(value: &Value) -> u64 {
        value.as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn a_running_vm_is_faked() {
        let vm = json!([{
            "status": "Up", "vmId": ID, "kept": 1,
            "disks": {"vda": {"readRate": "0", "truesize": "1"}, "odd": 3},
            "network": {"vnet0": {"name": "vnet0"}},
        }]);
        for _ in 0..50 {
            let vm = &faked(&vm.to_string())[0];
            assert_eq!((&vm["kept"], &vm["session"]), (&json!(1), &json!("Unknown")));
            let percent = |key: &str| vm[key].as_str().unwrap().parse::<f64>().unwrap();
            assert!(percent("cpuUser") + percent("cpuSys") <= 100.001);
            assert!(number(&vm["memUsage"]) <= 100);
            assert!(number(&vm["disks"]["vda"]["readRate"]) <= 1 << 31);
            assert_eq!(vm["disks"]["vda"]["truesize"], "1");
            assert_eq!(vm["disks"]["odd"], 3);
            assert!(number(&vm["network"]["vnet0"]["txErrors"]) <= 62);
            let memory = &vm["memoryStats"];
            let total = number(&memory["mem_total"]);
            assert!(total.is_power_of_two() && (GIB..=GIB << 5).contains(&total));
            assert!(number(&memory["mem_free"]) < total && memory["mem_free"] == memory["mem_unused"]);
            for usage in vm["diskUsage"].as_array().unwrap() {
                assert!((LEAST_USED..=number(&usage["total"])).contains(&number(&usage["used"])));
            }
            assert_eq!(vm["guestFQDN"], "b5622e625d1a4c69af787f70d629869d.fakefqdn.com");
            assert_eq!(vm["appsList"].as_array().unwrap().len(), 33);
        }
    }

    #[test]
    fn interfaces_follow_from_the_id() {
        let found = interfaces(&ID.replace('-', "")).unwrap();
        assert_eq!(found.len(), 3);
        let expected = json!({
            "hw": "2e:62:5d:1a:4c:69", "inet": ["175.120.127.112"],
            "inet6": ["0:0:0:0:0:ffff:af78:7f70"], "name": "eth0",
        });
        assert_eq!(found[0], expected);
        // The stream starts again with the bytes one higher.
        assert_eq!(found[1]["hw"], "d6:29:86:9d:b6:63");
        for no_id in ["", "xy", "+5622e625d1a4c69af787f70d629869d", "b5622e625d1a4c69af787f70d629869dff"] {
            assert!(interfaces(no_id).is_none(), "{no_id}");
        }
    }

    #[test]
    fn missing_parts_are_no_failure() {
        for vm in
            [json!([{"status": "Up"}]), json!([{"status": "Up", "disks": null, "memoryStats": 3, "vmId": 7}])]
        {
            let vm = &faked(&vm.to_string())[0];
            assert_eq!(vm["session"], "Unknown");
            assert!(vm.get("netIfaces").is_none() && vm.get("guestFQDN").is_none());
        }
        let odd = &faked(r#"[{"status": "Up", "memoryStats": {"mem_total": "0"}}]"#)[0];
        assert_eq!(odd["memoryStats"]["mem_free"], "0");
    }

    #[test]
    fn other_vms_stay() {
        for json in ["[]", r#"[ {"status":"Down"}, 3, {} ]"#] {
            assert_eq!(with("[vars]\nfake_vmstats_enable = on\n", json).json_text(), json);
        }
    }

    #[test]
    fn off_or_odd_nothing_changes() {
        for (conf, json, told) in [
            ("", r#"[{"status":"Up"}]"#, 0),
            ("[vars]\nfake_vmstats_enable = 0\n", "not read", 0),
            ("[vars]\nfake_vmstats_enable = maybe\n", r#"[{"status":"Up"}]"#, 1),
            ("[vars]\nfake_vmstats_enable = 1\n", r#"{"status":"Up"}"#, 1),
            ("[vars]\nfake_vmstats_enable = 1\n", "{", 1),
        ] {
            let hook = with(conf, json);
            assert_eq!((hook.json_text().as_str(), hook.logged().len()), (json, told), "{conf}");
        }
    }
}
