# shellcheck shell=bash
# sg3_utils against a LUN, as against a real disk. Given: FIRST_LUN, SECOND_LUN.

start_initiator
discover
login
disk_name=$(disk "$FIRST_LUN")
disk "$SECOND_LUN" >/dev/null
device=/dev/$disk_name
block_bytes=$(blockdev --getss "$device")

# What it is.
expect 'vendor identification' sg_inq "$device"
expect 'block limits' sg_vpd -a "$device"
expect 'supported VPD pages' sg_vpd -p sv "$device"
expect 'unit serial number: +[^ ]' sg_vpd -p sn "$device"
expect 'designator type: NAA' sg_vpd -p di "$device"
expect 'medium rotation rate' sg_vpd -p bdc "$device"
expect 'Maximum unmap LBA count: ([1-9]|-1)' sg_vpd -p bl "$device"
expect 'Unmap command supported \(LBPU\): 1' sg_vpd -p lbpv "$device"
expect "Logical block length=$block_bytes bytes" sg_readcap -l "$device"
expect 'lun list length = ' sg_luns "$device"
expect 'Caching' sg_modes -a "$device"
expect 'Control' sg_modes -a "$device"
expect 'Mode page policy' sg_vpd -p mpp "$device"
expect 'Relative target port' sg_vpd -p di "$device"
expect 'Relative port=1' sg_vpd -p sp "$device"
expect 'Standby_y=1 Standby_z=1 Idle_c=1 Idle_b=1 Idle_a=1' sg_vpd -p pc "$device"
for page in 'Read-Write error recovery' 'Disconnect-Reconnect' 'Power condition' \
    'Informational exceptions'; do
    expect "$page" sg_modes -a "$device"
done
for opcode in 'Test Unit Ready' 'Compare and write' 'Unmap' 'Write same\(16\)' 'Get LBA status' \
    'Report supported operation codes' 'Synchronize cache\(10\)' 'Read\(16\)' 'Write\(16\)'; do
    expect "$opcode" sg_opcodes -a "$device"
done
expect 'Abort task' sg_opcodes -t "$device"
expect '' sg_turs -n 20 "$device"
expect '' sg_requests "$device"

# Log pages: every one of them, what was read, and its counter back to zero.
for page in 'Read error counter' 'Write error counter' 'Verify error counter' 'Non-medium error' \
    'Start-stop cycle counter' 'General statistics and performance' 'Informational exceptions'; do
    expect "$page" sg_logs -a "$device"
done
expect '' dd if="$device" of=/dev/null bs=1M count=1 iflag=direct
expect 'Total bytes processed = [1-9]' sg_logs --page=3 "$device"
expect '' sg_logs --reset --page=3 "$device"
expect 'Total bytes processed = 0' sg_logs --page=3 "$device"

# Timestamp and identifying information.
expect '' sg_timestamp "$device"
expect '' sg_timestamp --milliseconds=1000000000000 "$device"
expect '1000000[0-9]{6}' sg_timestamp "$device"
set_ident() { printf 'shelf 7' | sg_ident --set "$device"; }
expect '' set_ident
expect 'shelf 7' sg_ident --ascii "$device"
expect '' sg_ident --clear "$device"

# UNMAP: what was written reads as zeros, and is reported as deallocated.
pattern=/run/pattern
head -c $((block_bytes * 64)) /dev/urandom >$pattern
expect '' dd if=$pattern of="$device" bs="$block_bytes" count=64 oflag=direct
blockdev --flushbufs "$device"
expect 'mapped' sg_get_lba_status --lba=0 "$device"
expect '' sg_unmap --lba=0 --num=64 --force "$device"
expect 'deallocated' sg_get_lba_status --lba=0 "$device"
zero_blocks() { cmp -n $((block_bytes * $1)) /dev/zero <(dd if="$device" bs="$block_bytes" count="$1" iflag=direct 2>/dev/null); }
expect '' zero_blocks 64

# WRITE SAME with one block of data, then with UNMAP.
head -c "$block_bytes" $pattern >/run/block
expect '' sg_write_same --lba=100 --num=50 --in=/run/block --xferlen="$block_bytes" "$device"
repeated() { cmp /run/block <(dd if="$device" bs="$block_bytes" skip="$1" count=1 iflag=direct 2>/dev/null); }
expect '' repeated 100
expect '' repeated 149
expect_status 1 repeated 150
expect '' sg_write_same --unmap --16 --lba=100 --num=50 --xferlen="$block_bytes" --in=/dev/zero "$device"
expect_status 1 repeated 100

# COMPARE AND WRITE: swaps the expected block, refuses another with MISCOMPARE (status 14).
head -c "$block_bytes" /dev/zero >/run/zero
cat /run/zero /run/block >/run/swap
expect '' dd if=/dev/zero of="$device" bs="$block_bytes" seek=200 count=1 oflag=direct
expect '' sg_compare_and_write --lba=200 --num=1 --in=/run/swap --xferlen=$((2 * block_bytes)) "$device"
expect '' repeated 200
expect_status 14 sg_compare_and_write --quiet --lba=200 --num=1 --in=/run/swap --xferlen=$((2 * block_bytes)) "$device"

# Beyond the end (status 22), and a command that is not there (9).
expect_status 22 sg_unmap --lba=0xfffffffffff --num=1 --force "$device"
expect_status 9 sg_raw "$device" c1 00 00 00 00 00 00 00 00 00

# Task management, and the unit attention that follows it.
expect '' sg_reset --no-esc --device "$device"
expect '' sg_turs -n 5 "$device"
expect '' sg_sync "$device"
expect '' sg_start --pc=2 "$device"
expect '' sg_requests "$device"
expect '' sg_start --pc=1 "$device"
expect '' sg_start --stop "$device"
expect '' sg_start --start "$device"
expect '' dd if="$device" of=/dev/null bs=1M count=8 iflag=direct
logout
