# shellcheck shell=bash
# Disks are formatted with T10 protection information. The kernel, which has no use for it here (its
# initiator carries none), reads and writes them as ever, and the target makes, checks and strips;
# ddpt and sg3_utils carry the tuples themselves. Given: FIRST_LUN, SECOND_LUN.

start_initiator
discover
login
device=/dev/$(disk "$FIRST_LUN")
other=/dev/$(disk "$SECOND_LUN")
block_bytes=$(blockdev --getss "$device")
wire_bytes=$((block_bytes + 8))
head -c $((block_bytes * 64)) /dev/urandom >/run/pattern
blocks_at() { dd if="$1" bs="$block_bytes" skip="$2" count="$3" iflag=direct 2>/dev/null; }
same_at() { cmp -n $((block_bytes * $4)) "$3" <(blocks_at "$1" "$2" "$4"); }
is_long() { [ "$(stat -c %s "$1")" = "$2" ]; }
tuple_of() { tail -c +$((block_bytes + 1 + $2 * wire_bytes)) "$1" | head -c 8 | od -An -tx1; }
# with_tuples TYPE ARGS...: type 2 takes tuples in CDBs of 32 bytes alone.
with_tuples() {
    local type=$1 long=()
    shift
    [ "$type" != 2 ] || long=(cdbsz=32)
    ddpt "$@" bs="$block_bytes" count=64 "${long[@]}"
}

# Both can have it, and have none. What a disk can have is on its pages.
expect 'protect=1' sg_inq --vendor "$device"
expect 'SPT=7 GRD_CHK=1 APP_CHK=1 REF_CHK=1' sg_vpd --page=ei "$device"
expect 'prot_en=0' sg_readcap --long "$device"

for type in 1 2 3; do
    usage=0
    [ "$type" != 3 ] || usage=1
    format=(--format --fmtpinfo=$((type == 1 ? 2 : 3)) --pfu="$usage" --quick --wait)
    for disk in "$device" "$other"; do
        expect '' sg_format "${format[@]}" "$disk"
        expect "prot_en=1, p_type=$((type - 1))" sg_readcap --long "$disk"
    done

    # The kernel knows nothing of tuples.
    expect '' dd if=/run/pattern of="$device" bs="$block_bytes" seek=16 count=64 oflag=direct
    expect '' same_at "$device" 16 /run/pattern 64

    # They are there all the same, and travel with the blocks from disk to disk.
    protect=1
    [ "$type" != 2 ] || protect=3  # the kernel's WRITE named no reference tag
    expect '' with_tuples "$type" if="$device" iflag=pt skip=16 of=/run/blocks protect="$protect"
    expect '' is_long /run/blocks $((64 * wire_bytes))
    reference='ff ff ff ff'
    [ "$type" != 1 ] || reference='00 00 00 15'
    expect "00 00 $reference" tuple_of /run/blocks 5
    expect '' with_tuples "$type" if=/run/blocks of="$other" oflag=pt seek=16 protect=0,"$protect"
    expect '' same_at "$other" 16 /run/pattern 64
    expect '' sg_verify --lba=16 --count=64 "$other"

    # What is wrong is not written where it is checked, and not read where it is not.
    cp /run/blocks /run/wrong
    printf 'wrong' | dd of=/run/wrong bs=1 seek=$((wire_bytes * 7 + 100)) conv=notrunc 2>/dev/null
    [ "$type" = 2 ] || expect_status 40 with_tuples "$type" if=/run/wrong of="$other" oflag=pt \
        seek=16 protect=0,1
    expect '' same_at "$other" 16 /run/pattern 64
    expect '' with_tuples "$type" if=/run/wrong of="$other" oflag=pt seek=16 protect=0,3
    expect_status 1 dd if="$other" of=/dev/null bs="$block_bytes" skip=23 count=1 iflag=direct
    expect_status 40 sg_verify --lba=16 --count=64 "$other"
    expect '' same_at "$other" 16 /run/pattern 7
    expect '' dd if=/run/pattern of="$other" bs="$block_bytes" seek=16 count=64 oflag=direct
    expect '' same_at "$other" 16 /run/pattern 64
done

# Zeros have a guard of zero: tuples made here, for the commands that take them. The RAM disk has them
# all.
expect '' sg_format --format --fmtpinfo=2 --quick --wait "$other"
{ head -c "$block_bytes" /dev/zero; printf '\0\0\x12\x34\0\0\0\x40'; } >/run/block
{ head -c "$block_bytes" /dev/zero; printf '\0\1\x12\x34\0\0\0\x40'; } >/run/guard
{ head -c "$block_bytes" /dev/zero; printf '\0\0\x12\x34\0\0\0\x41'; } >/run/reference
for command in --normal --or --atomic=0 --same=0 --stream=0; do
    expect '' sg_write_x --16 "$command" --in=/run/block --lba=0x40 --num=1 --wrprotect=1 "$other"
    expect '' ddpt if="$other" iflag=pt skip=0x40 bs="$block_bytes" count=1 of=/run/back protect=1
    expect '' cmp /run/block /run/back
    for wrong in guard reference; do
        expect_status 40 sg_write_x --16 "$command" --in=/run/$wrong --lba=0x40 --num=1 \
            --wrprotect=1 "$other"
    done
    expect '' sg_write_x --16 "$command" --in=/run/guard --lba=0x40 --num=1 --wrprotect=3 "$other"
    [ "$command" = --or ] ||
        expect_status 1 dd if="$other" of=/dev/null bs="$block_bytes" skip=64 count=1 iflag=direct
    expect '' dd if=/dev/zero of="$other" bs="$block_bytes" seek=64 count=1 oflag=direct
done
cat /run/block /run/block >/run/two
expect '' sg_compare_and_write --in=/run/two --lba=0x40 --num=1 --wrprotect=1 \
    --xferlen=$((2 * wire_bytes)) "$other"

# And without again.
for disk in "$device" "$other"; do
    expect '' sg_format --format --quick --wait "$disk"
    expect 'prot_en=0' sg_readcap --long "$disk"
done
expect_status 5 sg_verify --lba=0 --count=1 --vrprotect=1 "$device"
logout
