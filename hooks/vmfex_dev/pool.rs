// SPDX-License-Identifier: Apache-2.0
//! The libvirt network that hands out the free SR-IOV functions of the host.

use super::hook::{PROPERTY, uses_port};
use super::virsh::{PrivateFile, Virsh};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use virt_hooks_sdk::{Context, Document, Failure, NewElement};

/// The name of the network, the same on all hosts so that VMs can migrate.
pub(crate) const NAME: &str = "direct-pool";

/// Makes sure that the pool is there, with the functions that are free if nobody uses it.
///
/// # Errors
/// libvirt or the host refuses, or there is nothing to make a pool of.
pub(crate) fn ensure(hook: &mut Context) -> Result<(), Failure> {
    bring_up(hook).map_err(|failure| Failure::stop(format_args!("{PROPERTY}: {failure}")))
}

fn bring_up(hook: &mut Context) -> Result<(), Failure> {
    let _lock = lock(&hook.host().path("/run/vdsm/hook-vmfex.lock"))?;
    let free = free_functions(&hook.host().sysfs("devices"));
    let virsh = Virsh::new(hook)?;
    // Before anything is taken down.
    let xml = PrivateFile::create(hook.host().path("/run/vdsm/hook-vmfex.xml"), &definition(&free)?)?;
    if virsh.names(hook, &["net-list", "--name"])?.iter().any(|name| name == NAME) {
        let pool = Document::parse(virsh.text(hook, &["net-dumpxml", NAME])?)?;
        if functions(&pool) == free {
            return Ok(());
        }
        if free.is_empty() {
            hook.log(format_args!("{PROPERTY}: no function is free; {NAME} stays as it is"));
            return Ok(());
        }
        if is_connected(&pool) || is_in_use(hook, &virsh)? {
            hook.log(format_args!("{PROPERTY}: {NAME} is out of date, but in use; it stays as it is"));
            return Ok(());
        }
        virsh.text(hook, &["net-destroy", NAME])?;
    } else if free.is_empty() {
        return Err(Failure::stop(format_args!(
            "no function is free to make {NAME} of; expected NICs with address {UNUSED} below /sys/devices/pci*"
        )));
    }
    // One that is left after it was stopped, or was never started: libvirt takes no second one.
    if virsh.names(hook, &["net-list", "--all", "--name"])?.iter().any(|name| name == NAME) {
        virsh.text(hook, &["net-undefine", NAME])?;
    }
    virsh.text(hook, &["net-define", &xml.path().to_string_lossy()])?;
    virsh.text(hook, &["net-autostart", NAME])?;
    virsh.text(hook, &["net-start", NAME])?;
    let names: Vec<&str> = free.iter().map(String::as_str).collect();
    hook.log(format_args!("{PROPERTY}: made {NAME} of {}", names.join(", ")));
    Ok(())
}

/// Waits for the lock, which is free again when the file is dropped.
fn lock(path: &Path) -> io::Result<File> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("lock {}: {error}", path.display()));
    let new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let file = match new {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // No link is followed, and nothing waits for the other end of a pipe.
            if !fs::symlink_metadata(path).map_err(told)?.is_file() {
                return Err(told(io::Error::other("not a plain file")));
            }
            File::open(path).map_err(told)?
        }
        other => other.map_err(told)?,
    };
    file.lock().map_err(told)?;
    Ok(file)
}

/// What a function that no VM uses has as its MAC address.
const UNUSED: &str = "00:00:00:00:00:00";

/// The NICs below `pci*` without an address of their own. What cannot be read is passed over: devices come and go.
fn free_functions(devices: &Path) -> BTreeSet<String> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut below: Vec<PathBuf> = entries(devices)
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"pci"))
        .map(|entry| entry.path())
        .collect();
    let mut free = BTreeSet::new();
    while let Some(dir) = below.pop() {
        for entry in entries(&dir) {
            // The links of sysfs lead back up.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                below.push(entry.path());
            } else if entry.file_name() == "address"
                && fs::read_to_string(entry.path()).is_ok_and(|address| address.trim() == UNUSED)
                && let Some(name) = dir.file_name().and_then(|name| name.to_str())
            {
                free.insert(name.to_owned());
            }
        }
    }
    free
}

/// The devices of a passthrough network.
fn functions(network: &Document) -> BTreeSet<String> {
    let interfaces = network.find_all("forward/interface").into_iter();
    interfaces.filter_map(|i| network.attribute(i, "dev").map(std::borrow::Cow::into_owned)).collect()
}

/// Whether libvirt counts anybody on the network, a VM or not.
fn is_connected(network: &Document) -> bool {
    network.attribute(network.root(), "connections").is_some_and(|count| count.trim() != "0")
}

/// Whether a running VM has a port of the kind that the pool is for. One that cannot be told counts.
fn is_in_use(hook: &mut Context, virsh: &Virsh) -> Result<bool, Failure> {
    for uuid in virsh.names(hook, &["list", "--uuid"])? {
        let domain = match virsh.text(hook, &["dumpxml", &uuid]) {
            Ok(xml) => Document::parse(xml).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match domain {
            Ok(domain) if !uses_port(&domain) => {}
            Ok(_) => return Ok(true),
            Err(error) => {
                hook.log(format_args!("{PROPERTY}: whether VM {uuid} uses {NAME} cannot be told: {error}"));
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn definition(functions: &BTreeSet<String>) -> Result<Vec<u8>, Failure> {
    let mut forward = NewElement::new("forward").attribute("mode", "passthrough");
    for function in functions {
        forward = forward.child(NewElement::new("interface").attribute("dev", function));
    }
    let network = NewElement::new("network").child(NewElement::new("name").text(NAME)).child(forward);
    let mut document = Document::parse("<network/>")?;
    document.replace(document.root(), network)?;
    Ok(document.into_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use virt_hooks_sdk::{Command, Output};

    /// A host with free functions and a libvirt that remembers.
    pub(crate) struct Host {
        root: tempfile::TempDir,
        libvirt: Rc<RefCell<Libvirt>>,
    }

    #[derive(Default)]
    struct Libvirt {
        /// XML, and whether it is active.
        networks: BTreeMap<String, (String, bool)>,
        domains: BTreeMap<&'static str, &'static str>,
        changes: Vec<String>,
        refuses: &'static str,
    }

    impl Host {
        pub(crate) fn new(free: &[&str]) -> Self {
            let host = Self { root: tempfile::tempdir().unwrap(), libvirt: Rc::default() };
            fs::create_dir_all(host.root.path().join("run/vdsm")).unwrap();
            for name in free {
                host.nic("pci0000:00/0000:00:01.0", name, UNUSED);
            }
            host.nic("pci0000:00/0000:00:10.0", "enp6s0", "00:25:b5:00:00:00");
            host.nic("virtual", "lo", UNUSED);
            host
        }

        fn nic(&self, bus: &str, name: &str, address: &str) {
            let dir = self.root.path().join("sys/devices").join(bus).join("net").join(name);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("address"), format!("{address}\n")).unwrap();
        }

        fn with_pool(self, attributes: &str, dev: &str, active: bool) -> Self {
            let xml = format!(
                "<network{attributes}><name>direct-pool</name><forward dev='{dev}' mode='passthrough'>\
                 <interface dev='{dev}' connections='1'/></forward></network>"
            );
            self.libvirt.borrow_mut().networks.insert(NAME.to_owned(), (xml, active));
            self
        }

        fn with_domain(self, port: &'static str) -> Self {
            self.libvirt.borrow_mut().domains.insert("7ef8f4b8-3d2e-4951-9a34-cedbee44f953", port);
            self
        }

        pub(crate) fn hook(&self) -> Context {
            let libvirt = Rc::clone(&self.libvirt);
            let answer = move |command: &Command| Ok(libvirt.borrow_mut().answer(command));
            Context::for_test().with_host(self.root.path()).with_commands(answer)
        }

        /// The XML of the pool, if it is active.
        pub(crate) fn pool(&self) -> String {
            let libvirt = self.libvirt.borrow();
            let pool = libvirt.networks.get(NAME).filter(|(_, active)| *active);
            pool.map(|(xml, _)| xml.clone()).unwrap_or_default()
        }

        fn changes(&self) -> String {
            self.libvirt.borrow().changes.join(" ")
        }
    }

    impl Libvirt {
        fn answer(&mut self, command: &Command) -> Output {
            let argv: Vec<_> = command.argv().iter().map(|a| a.to_str().unwrap()).collect();
            let ["virsh", "-c", "qemu:///system", verb, arguments @ ..] = argv.as_slice() else {
                panic!("{command}")
            };
            if *verb == self.refuses {
                return Output::exited(1, "").with_stderr("error: refused\n\n");
            }
            let all = arguments.contains(&"--all");
            let listed = |(name, (_, active)): (&String, &(String, bool))| {
                if *active || all { format!("{name}\n") } else { String::new() }
            };
            let name = arguments.first().copied().unwrap_or_default();
            let known = self.networks.contains_key(name);
            match *verb {
                "net-list" => Output::exited(0, &self.networks.iter().map(listed).collect::<String>()),
                "list" => {
                    Output::exited(0, &self.domains.keys().fold(String::new(), |all, id| all + id + "\n"))
                }
                "dumpxml" => Output::exited(0, self.domains[name]),
                "net-dumpxml" => Output::exited(0, &self.networks[name].0),
                "net-define" => {
                    // As libvirt does where the XML has no id.
                    assert!(!self.networks.contains_key(NAME), "defined twice");
                    self.networks.insert(NAME.to_owned(), (fs::read_to_string(name).unwrap(), false));
                    self.done("define")
                }
                "net-autostart" if known => self.done("autostart"),
                "net-undefine" if known => {
                    self.networks.remove(name);
                    self.done("undefine")
                }
                "net-start" | "net-destroy" if known => {
                    self.networks.get_mut(name).unwrap().1 = *verb == "net-start";
                    self.done(verb.trim_start_matches("net-"))
                }
                _ => panic!("{command}"),
            }
        }

        fn done(&mut self, what: &str) -> Output {
            self.changes.push(what.to_owned());
            Output::exited(0, "")
        }
    }

    const PORT: &str =
        "<domain><devices><interface><virtualport type='802.1Qbh'/></interface></devices></domain>";

    #[test]
    fn made_once_of_all_that_is_free() {
        let host = Host::new(&["b", "a"]);
        ensure(&mut host.hook()).unwrap();
        assert_eq!(
            host.pool(),
            "<network><name>direct-pool</name><forward mode=\"passthrough\"><interface dev=\"a\"/>\
             <interface dev=\"b\"/></forward></network>"
        );
        assert_eq!(host.changes(), "define autostart start");
        ensure(&mut host.hook()).unwrap();
        assert_eq!(host.changes(), "define autostart start");
        let left = fs::read_dir(host.root.path().join("run/vdsm")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["hook-vmfex.lock"]);
    }

    #[test]
    fn an_outdated_one_is_made_anew_unless_it_is_in_use() {
        let anew = "destroy undefine define autostart start";
        let other = "<domain><interface><virtualport type='openvswitch'/></interface></domain>";
        for (host, changes) in [
            (Host::new(&["a"]).with_pool("", "old", true), anew),
            (Host::new(&["a"]).with_pool("", "old", true).with_domain(other), anew),
            (Host::new(&["a"]).with_pool(" connections='0'", "old", true), anew),
            (Host::new(&["a"]).with_pool("", "old", false), "undefine define autostart start"),
            (Host::new(&["a"]).with_pool("", "old", true).with_domain(PORT), ""),
            (Host::new(&["a"]).with_pool("", "old", true).with_domain("<cut off"), ""),
            (Host::new(&["a"]).with_pool(" connections='2'", "old", true), ""),
            (Host::new(&["a"]).with_pool("", "a", true), ""),
            (Host::new(&[]).with_pool("", "old", true), ""),
        ] {
            ensure(&mut host.hook()).unwrap();
            assert_eq!(host.changes(), changes);
            assert_eq!(host.pool().contains("old"), changes.is_empty() && !host.pool().contains("'a'"));
        }
    }

    #[test]
    fn no_pool_of_nothing() {
        let host = Host::new(&[]);
        let failure = ensure(&mut host.hook()).unwrap_err();
        assert!(failure.stops() && failure.message().starts_with("vmfex: no function is free"), "{failure}");
        assert_eq!(host.changes(), "");
    }

    #[test]
    fn what_libvirt_refuses_is_told() {
        for verb in ["net-list", "net-define", "net-autostart", "net-start"] {
            let host = Host::new(&["a"]);
            host.libvirt.borrow_mut().refuses = verb;
            let failure = ensure(&mut host.hook()).unwrap_err();
            assert!(failure.stops() && failure.message().ends_with("error: refused"), "{failure}");
            // Tried again it works, whatever the first time left.
            host.libvirt.borrow_mut().refuses = "";
            ensure(&mut host.hook()).unwrap();
            assert!(host.pool().contains("\"a\""));
        }
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(matches!(File::open(&path).unwrap().try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(held);
        lock(&path).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(lock(&link).unwrap_err().to_string().ends_with("not a plain file"));
        assert!(lock(&dir.path().join("no/lock")).is_err());
    }
}
