# shellcheck shell=bash
# One disk by two portals, whose target port groups change their access states by turns while fio
# writes and verifies: dm-multipath with the `alua` prioritizer follows, and no request fails.
# Given: SECOND_PORTAL, FIRST_LUN, ROUNDS, SECONDS_PER_STATE, MEGABYTES.

start_initiator
modprobe -a dm_mod dm_multipath dm_service_time dm_round_robin || fail "modules"
discover
expect "$SECOND_PORTAL,2 $TARGET" iscsiadm -m discovery -t sendtargets -p "$SECOND_PORTAL"

# Errors of a path shall be multipath's matter at once.
for address in "$PORTAL" "$SECOND_PORTAL"; do
    iscsiadm -m node -T "$TARGET" -p "$address" -o update -n node.session.timeo.replacement_timeout \
        -v 5 || fail "set the timeout of $address"
    expect successful iscsiadm -m node -T "$TARGET" -p "$address" --login
done
finish
two_disks() { [ "$(find /sys/class/block -name 'sd?' | wc -l)" = 2 ]; }
until_true 20 two_disks
mapfile -t disks < <(find /sys/class/block -name 'sd?' -printf '%f\n' | sort)
expect 'target port group id : 0x2' sg_rtpg "/dev/${disks[0]}"
for disk in "${disks[@]}"; do
    expect 'TPGS=3' sg_inq "/dev/$disk"
    expect 'Target port group: 0x' sg_vpd -p di "/dev/$disk"
done

# udev tells multipathd what a disk is.
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle -t 20
cat >/etc/multipath.conf <<CONFIGURATION
defaults {
    find_multipaths no
    user_friendly_names no
    polling_interval 1
    max_polling_interval 1
    path_grouping_policy group_by_prio
    prio alua
    path_checker tur
    failback immediate
    no_path_retry 30
    fast_io_fail_tmo off
}
CONFIGURATION
multipathd -d -v2 >/run/multipathd.log 2>&1 &
map() { find /dev/mapper -name '3*' | head -n 1; }
has_map() { [ -n "$(map)" ]; }
until_true 30 has_map
both_active() { [ "$(dmsetup status "$(map)" | grep -oE ' [0-9]+:[0-9]+ A ' | wc -l)" = 2 ]; }
until_true 20 both_active
echo "ok: $(map) is a multipath of ${disks[*]}"
multipath -ll

# priority GROUP: multipathd's priority of the path through that portal group.
priority() {
    local disk session
    for disk in "${disks[@]}"; do
        session=$(readlink -f "/sys/class/block/$disk/device" | grep -oE 'session[0-9]+')
        [ "$(cat "/sys/class/iscsi_session/$session/tpgt")" = "$1" ] || continue
        multipathd show paths raw format "%d %p" | awk -v disk="$disk" '$1 == disk { print $2 }'
    done
}
has_priority() { [ "$(priority "$1")" = "$2" ]; }

fio --name=verify --filename="$(map)" --direct=1 --rw=randwrite --bs=4k-64k --size="${MEGABYTES}M" \
    --ioengine=libaio --iodepth=8 --verify=crc32c --verify_backlog=64 --time_based \
    --runtime=$((ROUNDS * 4 * (SECONDS_PER_STATE + 3))) --verify_fatal=1 >/run/fio.log 2>&1 &
fio=$!

# The alua prioritizer: active/optimized 50, active/non-optimized 10, standby 1, unavailable 0.
for _ in $(seq "$ROUNDS"); do
    host access 1 standby
    until_true 20 has_priority 1 1
    sleep "$SECONDS_PER_STATE"
    host access 1 active/optimized
    host access 2 unavailable
    until_true 20 has_priority 1 50
    sleep "$SECONDS_PER_STATE"
    host access 2 active/non-optimized
    until_true 20 has_priority 2 10
    sleep "$SECONDS_PER_STATE"
    # The path in use goes away for longer than a command takes, and comes back as another state.
    host transitions 1 500
    host access 1 active/non-optimized
    host access 2 active/optimized
    until_true 20 has_priority 2 50
    sleep "$SECONDS_PER_STATE"
    host access 1 active/optimized
    host transitions 1 0
done
status=0
wait "$fio" || status=$?
[ "$status" = 0 ] || { cat /run/fio.log /run/multipathd.log; fail "fio ended with $status"; }
grep -E 'write:|read:' /run/fio.log
grep -qE 'err= *0' /run/fio.log || fail "fio counted errors"
echo "ok: no request failed while the states changed"
dmesg | grep -iE 'asymmetric|alua|multipath' | tail -n 4
dmesg | grep -q 'Asymmetric access state changed' || wrong "no unit attention 2A/06 was seen"

# The host's own SET TARGET PORT GROUPS.
expect '' sg_stpg --standby --tp=1 "/dev/${disks[0]}"
until_true 20 has_priority 1 1
expect '' sg_stpg --optimized --tp=1 "/dev/${disks[0]}"
until_true 20 has_priority 1 50
finish
