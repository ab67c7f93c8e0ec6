# shellcheck shell=bash
# A storm of logins and logouts; then a LUN that grows under the initiator's eyes.
# Given: FIRST_LUN, ROUNDS, LARGER (bytes; 0 where the target cannot).

start_initiator
discover
set_node node.session.scan manual # the storm is of sessions, not of disks

for round in $(seq "$ROUNDS"); do
    iscsiadm -m node -T "$TARGET" -p "$PORTAL" --login >/run/login.log 2>&1 ||
        fail "login $round: $(cat /run/login.log)"
    iscsiadm -m node -T "$TARGET" -p "$PORTAL" --logout >/run/login.log 2>&1 ||
        fail "logout $round: $(cat /run/login.log)"
done
echo "ok: $ROUNDS logins and logouts"

set_node node.session.scan auto
login
name=$(disk "$FIRST_LUN")
[ "$LARGER" != 0 ] || exit 0 # a target that cannot
expect '' dd if=/dev/zero of="/dev/$name" bs=1M count=8 oflag=direct
host resize "$LARGER"
# The next command of this nexus reports CAPACITY DATA HAS CHANGED; the rescan reads the new size.
expect '' iscsiadm -m node -T "$TARGET" -p "$PORTAL" -R
has_new_size() { [ "$(blockdev --getsize64 "/dev/$name")" = "$LARGER" ]; }
until_true 10 has_new_size
dmesg | grep -q 'Capacity data has changed' || fail "no unit attention 2A/09 was reported"
expect '' dd if=/dev/zero of="/dev/$name" bs=1M seek=$((LARGER / 1048576 - 1)) count=1 oflag=direct
echo "ok: resized to $LARGER bytes"
logout
