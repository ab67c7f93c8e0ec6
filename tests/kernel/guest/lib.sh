# shellcheck shell=bash
# What the guests' scripts share. Given: TARGET (IQN), PORTAL (address:port).

failures=0

# wrong MESSAGE: something that does not hinder the rest of the script.
wrong() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

finish() {
    [ "$failures" = 0 ] || fail "$failures checks above"
}

fail() {
    echo "FAILED: $*"
    tail -n 20 /run/iscsid.log 2>/dev/null
    dmesg | grep -iE 'iscsi|scsi|sd |ext4|connection' | tail -n 20
    exit 1
}

# expect PATTERN COMMAND...: the command succeeds and prints the pattern, in whatever case.
expect() {
    local pattern=$1 status=0 output
    shift
    output=$("$@" 2>&1) || status=$?
    if [ "$status" != 0 ]; then
        wrong "$* ended with $status: $output"
    elif ! grep -qiE -- "$pattern" <<<"$output"; then
        wrong "$*: no '$pattern' in: $output"
    else
        echo "ok: $*"
    fi
}

# expect_status STATUS COMMAND...
expect_status() {
    local wanted=$1 status=0 output
    shift
    output=$("$@" 2>&1) || status=$?
    if [ "$status" = "$wanted" ]; then
        echo "ok: $* (ended with $status, as it must)"
    else
        wrong "$* ended with $status, not $wanted: $output"
    fi
}

# until_true SECONDS COMMAND...: waits for the command to succeed.
until_true() {
    local tenths=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tenths=$((tenths - 1))
        [ "$tenths" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# host VERB ARGS...: has the host do something, and waits until it is done.
tickets=0
host() {
    tickets=$((tickets + 1))
    echo "@host $tickets $*"
    until_true 20 test -e "/run/host/done.$tickets"
}

start_initiator() {
    mkdir -p /run/lock/iscsi
    echo "InitiatorName=iqn.2026-01.test.initiator:guest" >/etc/iscsi/initiatorname.iscsi
    rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets
    modprobe -a sd_mod sg iscsi_tcp crc32c || fail "modules"
    iscsid -f >/run/iscsid.log 2>&1 &
    until_true 10 iscsiadm -m iface
}

discover() {
    expect "$PORTAL,[0-9]+ $TARGET" iscsiadm -m discovery -t sendtargets -p "$PORTAL"
}

set_node() {
    iscsiadm -m node -T "$TARGET" -p "$PORTAL" -o update -n "$1" -v "$2" || fail "set $1"
}

login() {
    expect successful iscsiadm -m node -T "$TARGET" -p "$PORTAL" --login
    finish
}

logout() {
    expect successful iscsiadm -m node -T "$TARGET" -p "$PORTAL" --logout
    finish
}

# disk LUN: the name below /dev of the LUN's disk, once it is there.
disk() {
    local link
    for _ in $(seq 100); do
        link=$(echo /sys/class/scsi_disk/*:"$1"/device/block/*)
        [ ! -e "$link" ] || break
        sleep 0.1
    done
    [ -e "$link" ] || fail "LUN $1 has not become a disk"
    basename "$link"
}
