# shellcheck shell=bash
# A disk is formatted, sanitized, tested and written in unusual ways by sg3_utils. Given: SECOND_LUN.

start_initiator
discover
login
disk_name=$(disk "$SECOND_LUN")
device=/dev/$disk_name
block_bytes=$(blockdev --getss "$device")
head -c $((block_bytes * 64)) /dev/urandom >/run/pattern
head -c "$block_bytes" /run/pattern >/run/block
blocks_at() { dd if="$device" bs="$block_bytes" skip="$1" count="$2" iflag=direct 2>/dev/null; }
same_at() { cmp "$2" <(blocks_at "$1" "$3"); }
zeros_at() { cmp -n $((block_bytes * $2)) /dev/zero <(blocks_at "$1" "$2"); }
fill() { expect '' dd if=/run/pattern of="$device" bs="$block_bytes" count=64 oflag=direct; }
until_ready() { for _ in $(seq 100); do sg_turs "$device" && return 0; sleep 0.1; done; return 1; }

# FORMAT UNIT, waited for and not.
fill
expect '' sg_format --format --quick --wait "$device"
expect '' zeros_at 0 64
fill
expect '' sg_format --format --quick --early "$device"
expect '' until_ready
expect '' zeros_at 0 64

# SANITIZE.
fill
expect '' sg_sanitize --overwrite --pattern=/run/block --quick --wait "$device"
expect '' same_at 1000 /run/block 1
expect '' same_at 0 /run/block 1
expect '' sg_sanitize --block --quick --wait "$device"
expect '' zeros_at 1000 8
expect '' sg_sanitize --fail --quick --wait "$device"
expect_status 5 sg_sanitize --crypto --quick --wait "$device"

# Self-tests.
expect '' sg_senddiag --test "$device"
expect '' sg_senddiag --selftest=5 "$device"
expect '' sg_senddiag --selftest=1 "$device"
expect '' until_ready
expect 'Supported diagnostic pages' sg_senddiag --list "$device"

# Buffers and defects.
expect '' sg_read_buffer --mode=echo_desc "$device"
expect '' sg_reassign --grown "$device"

# ORWRITE, WRITE ATOMIC, WRITE SCATTERED, streams.
expect '' dd if=/dev/zero of="$device" bs="$block_bytes" seek=300 count=2 oflag=direct
expect '' sg_write_x --16 --or --in=/run/block --lba=300 --num=1 "$device"
expect '' same_at 300 /run/block 1
expect '' sg_write_x --16 --atomic=0 --in=/run/block --lba=301 --num=1 "$device"
expect '' same_at 301 /run/block 1
# The whole data-out: sg_write_x 1.46 sends zeros when it makes the list itself.
range() { head -c 7 /dev/zero; printf '%b' "\\x$1\\0\\0\\0\\x1"; head -c 20 /dev/zero; }
{ head -c 32 /dev/zero; range 40; range 60; head -c $((block_bytes - 96)) /dev/zero
  cat /run/block /run/block; } >/run/scattered
expect '' sg_write_x --16 --scattered=2 --combined=1 --in=/run/scattered "$device"
expect '' same_at $((0x40)) /run/block 1
expect '' same_at $((0x60)) /run/block 1
expect '' sg_stream_ctl --open "$device"
expect '1' sg_stream_ctl --get --brief "$device"
expect '' sg_write_x --16 --stream=1 --in=/run/block --lba=500 --num=1 "$device"
expect '' same_at 500 /run/block 1
expect '' sg_stream_ctl --close --id=1 "$device"

# Anchored blocks.
expect '' sg_unmap --anchor --lba=0 --num=64 --force "$device"
expect 'anchored' sg_get_lba_status --lba=0 "$device"
logout
