# shellcheck shell=bash
# A file system through mutual CHAP and digests, written while the network is cut for longer than the
# initiator waits for a NOP: it has to log in again, and every block has to be there afterwards.
# Given: CHAP_USER, CHAP_SECRET, MUTUAL_USER, MUTUAL_SECRET, FIRST_LUN, MEGABYTES.

start_initiator
discover

set_node node.session.auth.authmethod CHAP
set_node node.session.auth.username "$CHAP_USER"
set_node node.session.auth.password not-the-secret
expect_status 24 iscsiadm -m node -T "$TARGET" -p "$PORTAL" --login # 24: login failed to authenticate
set_node node.session.auth.password "$CHAP_SECRET"
set_node node.session.auth.username_in "$MUTUAL_USER"
set_node node.session.auth.password_in "$MUTUAL_SECRET"
set_node 'node.conn[0].iscsi.HeaderDigest' CRC32C
set_node 'node.conn[0].iscsi.DataDigest' CRC32C
set_node 'node.conn[0].timeo.noop_out_interval' 2
set_node 'node.conn[0].timeo.noop_out_timeout' 2
set_node node.session.timeo.replacement_timeout 60
login
expect 'HeaderDigest: CRC32C' iscsiadm -m session -P 2
expect 'DataDigest: CRC32C' iscsiadm -m session -P 2
expect "username_in: $MUTUAL_USER" iscsiadm -m session -P 2 -S

device=/dev/$(disk "$FIRST_LUN")
expect '' mkfs.ext4 -q -F "$device"
mkdir -p /mnt
expect '' mount "$device" /mnt

fio --name=cut --directory=/mnt --rw=randwrite --bs=4k --size="${MEGABYTES}M" --ioengine=libaio \
    --direct=1 --iodepth=32 --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_backlog=4096 \
    >/run/fio.log 2>&1 &
fio=$!
sleep 2
kill -0 $fio 2>/dev/null || fail "fio ended before the network was cut: $(cat /run/fio.log)"
host cut
sleep 8
host restore
wait $fio || fail "fio: $(cat /run/fio.log)"
grep -q 'err= 0' /run/fio.log || fail "fio: $(cat /run/fio.log)"
grep -E 'IOPS|err=' /run/fio.log
dmesg | grep -q 'detected conn error' || fail "the cut was too short for the initiator to notice"

umount /mnt
expect '' e2fsck -fn "$device"
logout
