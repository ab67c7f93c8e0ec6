# shellcheck shell=bash
# Copies that the target does by itself: EXTENDED COPY and tokens. Given: FIRST_LUN, SECOND_LUN.

start_initiator
discover
login
source=/dev/$(disk "$FIRST_LUN")
destination=/dev/$(disk "$SECOND_LUN")
# The tools want the generic devices.
generic() { echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"; }
from=$(generic "$source")
to=$(generic "$destination")
blocks=8192 # 4 MiB
data=/run/data
head -c $((blocks * 512)) /dev/urandom >$data

# fill DEVICE FIRST: the data at that block.
fill() { dd if=$data of="$1" bs=1M seek=$(($2 * 512)) oflag=direct,seek_bytes conv=fsync status=none; }
# same DEVICE FIRST BLOCKS SKIPPED: blocks of the device are those of the data.
same() {
    blockdev --flushbufs "$1"
    cmp <(dd if="$1" bs=1M skip=$(($2 * 512)) count=$(($3 * 512)) iflag=direct,skip_bytes,count_bytes status=none) \
        <(dd if=$data bs=512 skip="$4" count="$3" status=none)
}
# Sectors that this kernel has written to the device: a copy by the target adds none.
sectors() { awk '{ print $7 }' "/sys/block/${1#/dev/}/stat"; }

expect '3PC=1' sg_inq "$source"
expect 'Third.party' sg_vpd -p sv "$source"
expect 'Segment descriptor|supported descriptor|Parameter data' sg_vpd -p tpc "$source"
expect 'Maximum target descriptor count: 16|maximum CSCD descriptor count: 16' sg_copy_results --params "$source"

fill "$source" 100
before=$(sectors "$destination")

# From one disk to the other, and within one.
expect '' sg_xcopy if="$from" of="$to" bs=512 skip=100 seek=77 count=$blocks
expect '' same "$destination" 77 $blocks 0
expect '' sg_xcopy --on_src if="$from" of="$to" bs=512 skip=2100 seek=30003 count=1000
expect '' same "$destination" 30003 1000 2000
expect '' sg_xcopy if="$from" of="$from" bs=512 skip=100 seek=50000 count=$blocks
expect '' same "$source" 50000 $blocks 0

# By token: POPULATE TOKEN, RECEIVE ROD TOKEN INFORMATION, WRITE USING TOKEN.
populate_list() { python3 -c "import struct,sys; sys.stdout.buffer.write(struct.pack('>H12xHQI4x', 30, 16, $1, $2))"; }
write_list() { python3 -c "import struct,sys; sys.stdout.buffer.write(struct.pack('>H14x512s6xHQI4x', 550, open('$3', 'rb').read(), 16, $1, $2))"; }
hex() { printf '%02x %02x %02x %02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }
# shellcheck disable=SC2046 # the bytes of the CDBs are words
populate() { sg_raw -s 32 -i <(populate_list "$2" "$3") "$1" 83 10 00 00 00 00 $(hex 5) $(hex 32) 00 00; }
# shellcheck disable=SC2046
information() { sg_raw -r 550 -o "$2" "$1" 84 07 $(hex 5) 00 00 00 00 $(hex 550) 00 00; }
# shellcheck disable=SC2046
write_by() { sg_raw -s 552 -i <(write_list "$2" "$3" "$4") "$1" 83 11 00 00 00 00 $(hex 6) $(hex 552) 00 00; }
expect 'SCSI Status: Good' populate "$from" 100 $blocks
expect 'SCSI Status: Good' information "$from" /run/information
tail -c 512 /run/information >/run/token
expect 'SCSI Status: Good' write_by "$to" 60007 $blocks /run/token
expect '' same "$destination" 60007 $blocks 0
expect 'SCSI Status: Good' write_by "$from" 90000 5000 /run/token
expect '' same "$source" 90000 5000 0
# The first write into what it represents makes it invalid.
expect '' dd if=$data of="$source" bs=512 seek=200 skip=100 count=1 oflag=direct conv=fsync
expect_status 5 write_by "$to" 0 8 /run/token

# ddpt 0.97 puts its range descriptors one byte before their place in both lists, so that its LBAs
# and lengths count in 256 blocks. It copies nevertheless; what it says of that is not to be relied on.
fill "$source" $((2 * 256))
ddpt --odx if="$from" of="$to" bs=512 skip=2,32 seek=900,32 >/dev/null 2>&1
expect '' same "$destination" $((900 * 256)) $blocks 0
after=$(sectors "$destination")
[ "$before" = "$after" ] || wrong "the host itself has written $((after - before)) sectors"

# Beyond the end, nothing is written.
end=$(blockdev --getsz "$destination")
fill "$destination" $((end - blocks))
if sg_xcopy if="$from" of="$to" bs=512 skip=100 seek=$((end - 5)) count=100; then
    wrong "a copy beyond the end of the disk succeeded"
fi
expect '' same "$destination" $((end - blocks)) $blocks 0
logout
