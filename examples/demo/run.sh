#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The show of `make demo`, on a throw-away libvirt host that virt-hooks-testhost has made: its directory is
# TESTHOST_ROOT, its URI LIBVIRT_DEFAULT_URI, and TESTHOST_XML a VM for it.
set -eu
# One stream, so that it reads in order wherever it goes.
exec 2>&1
# On Ctrl-C a shell with a trap first waits for the command that runs: that one ends its hooks and cleans up.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
bin=$1   # where the executables are
repo=$2  # the checkout

root=$TESTHOST_ROOT
VIRT_HOOKS_PYTHON_DIR=$repo/python
VIRT_HOOKS_LAUNCH_FLAGS_DIR=$root/launch-flags
VIRT_HOOKS_HOOKS_DIR=$root/hooks
VIRT_HOOKS_RUN_DIR=$root/events
VIRT_HOOKS_POINTS_DIR=$root/points.d
VIRT_HOOKS_PACKAGES_DIR=$root/packages
VIRT_HOOKS_STATE_DIR=$root/state
export VIRT_HOOKS_PYTHON_DIR VIRT_HOOKS_LAUNCH_FLAGS_DIR VIRT_HOOKS_HOOKS_DIR VIRT_HOOKS_RUN_DIR
export VIRT_HOOKS_POINTS_DIR VIRT_HOOKS_PACKAGES_DIR VIRT_HOOKS_STATE_DIR
mkdir -p "$root/hooks" "$root/points.d"
for point in "$repo"/examples/demo-hooks/*/; do
	cp -R "$point" "$root/hooks/"
done
cp "$bin/examples/firmware_note" "$root/hooks/before_vm_start/60_firmware_note"

bold=''
plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() {
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}
run() {
	line=
	for word; do
		case $word in *[!A-Za-z0-9_./=:-]*) word="'$word'" ;; esac
		line="$line $word"
	done
	printf '%s$%s%s\n' "$bold" "$line" "$plain"
	"$@"
}
# So that what is typed below is short.
PATH=$bin:$PATH

say 'Five hooks are installed: a shell script, a Python script, a Rust program, and a shell script at two other points'
run virt-hooks list

say 'A real QEMU machine is started through libvirt, with the XML the hooks make of it'
run virt-hooks vm start --xml "$TESTHOST_XML" -p demo_title='Mail & web' -p demo_serial=VH-0042 -p demo_note='hello from a hook' --diff

say 'The running domain has it: libvirt says'
virsh -q dumpxml demo | grep -E '<title>|<entry name=.serial|<qemu:arg'
say 'and so does QEMU: its own command line, from /proc'
tr '\0' '\n' <"/proc/$(cat "$root/run/qemu/demo.pid")/cmdline" | grep -A1 -E '^-(smbios|fw_cfg)$' | grep -v '^--$'

say 'A hook that refuses: nothing is started, and the error has its words'
cat >"$root/hooks/before_vm_start/90_refuse" <<'HOOK'
#!/bin/sh
echo "not on a Friday" >&2
exit 2
HOOK
chmod +x "$root/hooks/before_vm_start/90_refuse"
sed 's|<name>demo</name>|<name>second</name>|' "$TESTHOST_XML" >"$root/second.xml"
run virt-hooks vm start --xml "$root/second.xml" || echo "exit code $?"
rm "$root/hooks/before_vm_start/90_refuse"

say 'The end'
run virt-hooks vm destroy demo
run virt-hooks vm list
run virt-hooks history
