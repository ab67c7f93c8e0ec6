# shellcheck shell=bash
# Persistent reservations as cluster software uses them, by sg_persist from two initiators (this host
# under two names), and the fencing of a writer. Given: FIRST_LUN, SECONDS_PER_WRITER.

FIRST_NAME=iqn.2026-01.test.initiator:first
SECOND_NAME=iqn.2026-01.test.initiator:second
FIRST_KEY=0x123abc0000000001
SECOND_KEY=0xfedcba0987654321

start_initiator
discover

# session_as NAME: a session under that initiator name, by an interface of its own.
session_as() {
    iscsiadm -m iface -I "$1" -o new >/dev/null || fail "interface $1"
    iscsiadm -m iface -I "$1" -o update -n iface.initiatorname -v "$2" || fail "name of $1"
    iscsiadm -m iface -I "$1" -o update -n iface.transport_name -v tcp || fail "transport of $1"
    iscsiadm -m discovery -t sendtargets -p "$PORTAL" -I "$1" >/dev/null 2>&1 || fail "discovery by $1"
    expect successful iscsiadm -m node -T "$TARGET" -p "$PORTAL" -I "$1" --login
}
iscsiadm -m node -T "$TARGET" -p "$PORTAL" -o delete || fail "node of the default interface"
session_as first $FIRST_NAME
session_as second $SECOND_NAME
finish

# disk_of NAME LUN: the disk that the session of that initiator name has.
disk_of() {
    local session link
    for session in /sys/class/iscsi_session/session*; do
        [ "$(cat "$session/initiatorname")" = "$1" ] || continue
        link=$(echo "$session"/device/target*/*:"$2"/block/*)
        [ -e "$link" ] && basename "$link" && return 0
    done
    return 1
}
until_true 20 disk_of $FIRST_NAME "$FIRST_LUN"
until_true 20 disk_of $SECOND_NAME "$FIRST_LUN"
a=/dev/$(disk_of $FIRST_NAME "$FIRST_LUN")
b=/dev/$(disk_of $SECOND_NAME "$FIRST_LUN")
[ "$a" != "$b" ] || fail "both sessions have $a"
expect 'iqn' sg_vpd -p sp "$a"

out() { sg_persist --no-inquiry --out "$@"; }
in_() { sg_persist --no-inquiry --in "$@"; }
# Reads and writes as they must end: reads DISK yes|no.
reads() { if dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null; then echo yes; else echo no; fi; }
writes() { if dd if=/dev/zero of="$1" bs=4096 count=1 oflag=direct status=none 2>/dev/null; then echo yes; else echo no; fi; }
conflict=24 # sg3_utils: RESERVATION CONFLICT

# settle DISK: what it has to say of unit attentions is heard.
settle() { for _ in 1 2 3 4; do sg_turs "$1" >/dev/null 2>&1 && return; done; }

# --- Registering, and who reads what ---
expect 'no registered reservation keys' in_ --read-keys "$a"
expect 'Compatible Reservation Handling\(CRH\): 1' in_ --report-capabilities "$a"
expect 'Allow Commands: [0-9]' in_ --report-capabilities "$a"
expect 'Persist Through Power Loss Capable\(PTPL_C\): 1' in_ --report-capabilities "$a"
expect '' out --register --param-sark=$FIRST_KEY "$a"
expect_status $conflict out --register --param-rk=0x1 --param-sark=0x2 "$b"
expect '' out --register-ignore --param-sark=$SECOND_KEY "$b"
expect "$FIRST_KEY" in_ --read-keys "$b"
expect "$SECOND_KEY" in_ --read-keys "$a"
# Known defect 68: the keys of the full status in their order of bytes; decoded here by sg_persist.
expect "Key=$FIRST_KEY" in_ --read-full-status "$a"
expect "Key=$SECOND_KEY" in_ --read-full-status "$a"
expect "$SECOND_NAME" in_ --read-full-status "$a"
expect 'Relative port address: 0x1' in_ --read-full-status "$a"

# --- Each type: what the other, registered or not, may do ---
# type, registrant reads, registrant writes, stranger reads, stranger writes
while read -r type registrant_reads registrant_writes stranger_reads stranger_writes; do
    expect '' out --reserve --param-rk=$FIRST_KEY --prout-type="$type" "$a"
    expect 'scope: LU_SCOPE' in_ --read-reservation "$b"
    expect_status $conflict out --reserve --param-rk=$SECOND_KEY --prout-type=$((type == 1 ? 3 : 1)) "$b"
    [ "$(reads "$b")" = "$registrant_reads" ] || wrong "type $type: the registrant reads: not $registrant_reads"
    [ "$(writes "$b")" = "$registrant_writes" ] || wrong "type $type: the registrant writes: not $registrant_writes"
    [ "$(reads "$a") $(writes "$a")" = "yes yes" ] || wrong "type $type: the holder is refused"
    expect '' out --register --param-rk=$SECOND_KEY --param-sark=0 "$b"
    [ "$(reads "$b")" = "$stranger_reads" ] || wrong "type $type: a stranger reads: not $stranger_reads"
    [ "$(writes "$b")" = "$stranger_writes" ] || wrong "type $type: a stranger writes: not $stranger_writes"
    expect '' out --register --param-sark=$SECOND_KEY "$b"
    expect '' out --release --param-rk=$FIRST_KEY --prout-type="$type" "$a"
    settle "$b"
    expect 'NO reservation held' in_ --read-reservation "$b"
done <<TYPES
1 yes no yes no
3 no no no no
5 yes yes yes no
6 yes yes no no
7 yes yes yes no
8 yes yes no no
TYPES

# --- PREEMPT, PREEMPT AND ABORT, CLEAR ---
expect '' out --reserve --param-rk=$FIRST_KEY --prout-type=5 "$a"
expect '' out --preempt --param-rk=$SECOND_KEY --param-sark=$FIRST_KEY --prout-type=5 "$b"
told=$(sg_turs --verbose "$a" 2>&1)
grep -qi 'registrations preempted' <<<"$told" || wrong "the preempted is not told so: $told"
settle "$a"
expect "1 registered reservation key" in_ --read-keys "$b"
expect_status $conflict out --reserve --param-rk=$FIRST_KEY --prout-type=5 "$a"
expect '' out --register --param-sark=$FIRST_KEY "$a"
expect '' out --preempt-abort --param-rk=$FIRST_KEY --param-sark=$SECOND_KEY --prout-type=6 "$a"
settle "$b"
expect "Key=$FIRST_KEY" in_ --read-reservation "$a"
expect 'Exclusive Access, registrants only' in_ --read-reservation "$a"
expect '' out --clear --param-rk=$FIRST_KEY "$a"
expect 'no registered reservation keys' in_ --read-keys "$b"

# --- REGISTER AND MOVE: to the other initiator's port ---
expect '' out --register --param-sark=$FIRST_KEY "$a"
expect '' out --register --param-sark=$SECOND_KEY "$b"
expect '' out --reserve --param-rk=$FIRST_KEY --prout-type=1 "$a"
isid=$(in_ --read-full-status "$a" | grep -A12 "Key=$SECOND_KEY" | grep -oE "$SECOND_NAME,i,0x[0-9a-f]+" | head -n 1)
[ -n "$isid" ] || wrong "no name of the second initiator port in the full status"
expect '' out --register-move --param-rk=$FIRST_KEY --param-sark=$SECOND_KEY --relative-target-port=1 \
    --transport-id="$isid" "$a"
settle "$b"
[ "$(writes "$b") $(writes "$a")" = "yes no" ] || wrong "the reservation has not moved"
expect '' out --clear --param-rk=$SECOND_KEY "$b"
settle "$a"

# --- APTPL: the daemon is killed; the sessions come back by themselves ---
expect '' out --register --param-aptpl --param-sark=$FIRST_KEY "$a"
expect '' out --register --param-aptpl --param-sark=$SECOND_KEY "$b"
expect '' out --reserve --param-rk=$SECOND_KEY --prout-type=1 "$b"
host kill_and_start
until_true 60 sg_turs "$a"
until_true 60 sg_turs "$b"
expect "$FIRST_KEY" in_ --read-keys "$a"
expect "Key=$SECOND_KEY" in_ --read-reservation "$a"
expect 'Persist Through Power Loss Active\(PTPL_A\): 1' in_ --report-capabilities "$a"
[ "$(writes "$a") $(writes "$b")" = "no yes" ] || wrong "the reservation is not in force after the restart"
expect '' out --clear --param-rk=$SECOND_KEY "$b"
settle "$a"

# --- Fencing, as fence_scsi does it: write exclusive, registrants only; the victim's key is preempted ---
expect '' out --register --param-sark=$FIRST_KEY "$a"
expect '' out --register --param-sark=$SECOND_KEY "$b"
expect '' out --reserve --param-rk=$FIRST_KEY --prout-type=5 "$a"
# writer NAME DISK OFFSET: writes until it is refused, or for so long.
writer() {
    fio --name="$1" --filename="$2" --offset="$3" --size=32M --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
        --iodepth=8 --time_based --runtime="$SECONDS_PER_WRITER" --eta=never >"/run/$1.fio" 2>&1
}
writer survivor "$a" 0 &
survivor=$!
writer victim "$b" 64M &
victim=$!
sectors() { awk '{ print $7 }' "/sys/block/${1#/dev/}/stat"; }
victim_writes() { [ "$(sectors "$b")" -gt 1000 ]; }
until_true 20 victim_writes
kill -0 "$victim" || fail "the victim has ended before it was fenced: $(cat /run/victim.fio)"
expect '' out --preempt-abort --param-rk=$FIRST_KEY --param-sark=$SECOND_KEY --prout-type=5 "$a"
status=0
wait "$victim" || status=$?
[ "$status" != 0 ] || wrong "the fenced writer ended without an error"
kill -0 "$survivor" || wrong "the victim ended only when its time was over"
before=$(sectors "$a")
dmesg | grep -i 'reservation conflict' | tail -n 2
dmesg | grep -qi 'reservation conflict' || wrong "the kernel has seen no RESERVATION CONFLICT"
settle "$b"
told=$(sg_dd if=/dev/zero of="$b" bs=512 count=1 blk_sgio=1 2>&1)
grep -qi 'reservation conflict' <<<"$told" || wrong "no RESERVATION CONFLICT for the fenced host: $told"
[ "$(reads "$b") $(writes "$b")" = "yes no" ] || wrong "the fenced host still writes"
sleep 0.5
[ "$(sectors "$a")" -gt "$before" ] || wrong "the survivor writes no more"
status=0
wait "$survivor" || status=$?
[ "$status" = 0 ] || { cat /run/survivor.fio; wrong "the survivor ended with $status"; }
grep -E 'write: ' /run/survivor.fio /run/victim.fio
# It comes back with a new registration.
expect '' out --register --param-sark=$SECOND_KEY "$b"
[ "$(writes "$b")" = yes ] || wrong "the host cannot come back"
expect '' out --clear --param-rk=$FIRST_KEY "$a"
finish
