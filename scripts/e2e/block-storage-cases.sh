# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from /expect.sh
# Runs in L2 after block-cases.sh, whose functions it uses: what storage is made of, under the kernel's own driver and
# programs that know more than busybox.

TOOLS=/tools/bin
BLOCK=4096

# For what is mounted.
forget_cache() { echo 3 >/proc/sys/vm/drop_caches; }

# zeros SERIAL BLOCK COUNT: these blocks read as zeros, all of them.
zeros() {
    disk=$(disk_of "$1") && forget_disk "$disk" || return 1
    dd if="/dev/$disk" bs=$BLOCK skip="$2" count="$3" 2>/dev/null >/tmp/zeros || return 1
    [ "$(wc -c </tmp/zeros)" = $(($3 * BLOCK)) ] && [ "$(tr -d '\0' </tmp/zeros | wc -c)" = 0 ]
}

# limit SERIAL NAME: a queue limit of the disk.
limit() {
    read -r value <"/sys/block/$(disk_of "$1")/queue/$2" && echo "$value"
}

# above NAME VALUE LEAST
above() {
    if [ "$2" -gt "$3" ]; then pass "$1" "$2"; else fail "$1" "$2 is not above $3"; fi
}

# discarding SERIAL: ranges, whole and cut out of what was written.
discarding() {
    above "$1/discard-limit" "$(limit "$1" discard_max_bytes)" 0
    above "$1/zeroes-limit" "$(limit "$1" write_zeroes_max_bytes)" 0
    for how in "" -z; do
        case_of=$1/blkdiscard$how
        succeeds "$case_of/write" write_pattern "$1" 64
        # The second half of the pattern.
        # shellcheck disable=SC2086 # no option, or one
        succeeds "$case_of" $TOOLS/blkdiscard $how -f -o $((64 * BLOCK + pattern_bytes / 2)) -l $((pattern_bytes / 2)) "/dev/$(disk_of "$1")"
        succeeds "$case_of/zeros" zeros "$1" $((64 + pattern_bytes / BLOCK / 2)) $((pattern_bytes / BLOCK / 2))
        refuses "$case_of/other-half" zeros "$1" 64 $((pattern_bytes / BLOCK / 2))
    done
}

# trimming SERIAL: a file system that discards what it does not need any more.
trimming() {
    disk=$(disk_of "$1")
    succeeds "$1/mkfs" $TOOLS/mke2fs -q -F -t ext4 -E discard "/dev/$disk"
    succeeds "$1/mount" mount -t ext4 -o discard "/dev/$disk" /mnt
    succeeds "$1/fill" dd if=/dev/urandom of=/mnt/kept bs=64k count=16 conv=fsync
    succeeds "$1/fill-more" dd if=/dev/urandom of=/mnt/gone bs=64k count=64 conv=fsync
    kept=$(digest /mnt/kept)
    succeeds "$1/delete" sh -c 'rm /mnt/gone && sync'
    succeeds "$1/fstrim" fstrim /mnt
    forget_cache
    expect "$1/kept-after-fstrim" "$(digest /mnt/kept)" "$kept"
    succeeds "$1/umount" umount /mnt
    succeeds "$1/fsck" $TOOLS/e2fsck -fn "/dev/$disk"
    succeeds "$1/mount-again" mount -t ext4 "/dev/$disk" /mnt
    expect "$1/kept-after-umount" "$(digest /mnt/kept)" "$kept"
    succeeds "$1/umount-again" umount /mnt
}

# caching SERIAL: the driver chooses the cache mode while the disk is in use.
caching() {
    cache=/sys/block/$(disk_of "$1")/cache_type
    expect "$1/cache-at-first" "$(cat "$cache")" "write back"
    for mode in "write through" "write back"; do
        short=$(echo "$mode" | tr ' ' '-')
        succeeds "$1/set-$short" sh -c "echo '$mode' >$cache"
        expect "$1/is-$short" "$(cat "$cache")" "$mode"
        expect "$1/queue-$short" "$(limit "$1" write_cache)" "$mode"
        succeeds "$1/pattern-$short" write_pattern "$1" 16
    done
}

# verified: random writes on all queues of all disks at once, read back and compared.
verified() {
    set --
    for lane in $lanes; do
        disk=$(disk_of "$lane-fio") || continue
        expect "$lane-fio/queues" "$(find "/sys/block/$disk/mq" -mindepth 1 -maxdepth 1 | wc -l)" "$fio_queues"
        set -- "$@" "--name=$lane" "--filename=/dev/$disk"
    done
    succeeds fio/verify $TOOLS/fio --name=global --rw=randwrite --bs=4k --direct=1 --thread --ioengine=libaio --iodepth=16 \
        --numjobs="$fio_queues" --size="$fio_bytes" --offset_increment="$fio_bytes" --verify=crc32c --verify_fatal=1 \
        --do_verify=1 --randseed=1 --allow_mounted_write=0 --eta=never --output=/tmp/fio "$@"
    # By the count of the kernel.
    for lane in $lanes; do
        above "$lane-fio/written" "$(awk '{ print $7 * 512 }' "/sys/block/$(disk_of "$lane-fio")/stat")" $((fio_bytes * fio_queues - 1))
    done
}

# queue_full DISK: as many requests are with the device as its queue holds.
queue_full() { read -r reads writes <"/sys/block/$1/inflight" && [ $((reads + writes)) -ge "$busy_queue_size" ]; }

# busy_rebind SERIAL: the device is taken from its driver, and so reset, while its queue is full of direct writes, which a limit
# of its rate makes wait; then the driver gets it back. What nobody was writing is as it was, and the disk works.
busy_rebind() {
    disk=$(disk_of "$1")
    device=$(virtio_of "$disk")
    succeeds "$1/pattern" write_pattern "$1" 0
    writers=''
    for number in $(seq $((busy_queue_size * 3 / 2))); do
        dd if=/dev/zero of="/dev/$disk" bs=$BLOCK seek=$((number * 64)) oflag=direct conv=notrunc 2>/dev/null &
        writers="$writers $!"
    done
    succeeds "$1/queue-is-full" wait_for 60 queue_full "$disk"
    succeeds "$1/unbind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind"
    refuses "$1/gone-after-unbind" disk_of "$1"
    ended=0
    for writer in $writers; do wait "$writer" || ended=$((ended + 1)); done
    expect "$1/writers-got-errors" "$ended" $((busy_queue_size * 3 / 2))
    succeeds "$1/bind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_blk/bind"
    if ! wait_for 30 disk_exists "$1"; then
        fail "$1/rebind" "the disk did not come back"
        return
    fi
    succeeds "$1/pattern-kept" is_pattern "$1" 0
    succeeds "$1/pattern-again" write_pattern "$1" 64
}

# sequential SERIAL BLOCK: writes the pattern at that block of 4 KiB, past the page cache.
sequential() {
    pattern "$1" "$pattern_bytes" >/tmp/pattern
    dd if=/tmp/pattern of="/dev/$(disk_of "$1")" bs="$pattern_bytes" seek=$(($2 * BLOCK / pattern_bytes)) oflag=direct \
        conv=notrunc 2>/dev/null
}

# zone_is SERIAL ZONE CONDITION: what the report says of that zone, such as "em" or "fu".
zone_is() {
    $TOOLS/blkzone report -o $(($2 * zone_bytes / 512)) -c 1 "/dev/$(disk_of "$1")" >/tmp/zone || return 1
    grep -q "zcond: *[0-9]*($3)" /tmp/zone || { cat /tmp/zone; return 1; }
}

# zones SERIAL: a host-managed disk, whose first zones are conventional ones.
zones() {
    # The driver knows zones from 6.3 on, and must leave a host-managed disk alone before.
    case "$(uname -r)" in
    [1-5].* | 6.[0-2].*)
        refuses "$1/left-alone-by-old-kernel" disk_of "$1"
        echo "L2 NOTED $1: the driver of $(uname -r) knows no zoned disks"
        return
        ;;
    esac
    if ! wait_for 30 disk_exists "$1"; then
        fail "$1/serial" "no disk has this serial"
        return
    fi
    disk=$(disk_of "$1")
    need_bit "$1/feature-17" "$(features_of "$(virtio_of "$disk")")" 17
    expect "$1/model" "$(limit "$1" zoned)" host-managed
    expect "$1/zone-bytes" $(($(limit "$1" chunk_sectors) * 512)) "$zone_bytes"
    expect "$1/zone-count" "$(limit "$1" nr_zones)" $((zoned_bytes / zone_bytes))
    expect "$1/max-open" "$(limit "$1" max_open_zones)" "$zones_open"
    expect "$1/max-active" "$(limit "$1" max_active_zones)" "$zones_active"
    succeeds "$1/conventional-write" write_pattern "$1" 64
    zone=$conventional_zones
    first=$((zone * zone_bytes / BLOCK))
    succeeds "$1/empty-at-first" zone_is "$1" "$zone" em
    succeeds "$1/write-at-start" sequential "$1" "$first"
    succeeds "$1/open-after-write" zone_is "$1" "$zone" oi
    succeeds "$1/read-back" is_pattern "$1" "$first"
    succeeds "$1/write-at-pointer" sequential "$1" $((first + pattern_bytes / BLOCK))
    refuses "$1/write-elsewhere" sequential "$1" $((first + 4 * pattern_bytes / BLOCK))
    refuses "$1/write-again" sequential "$1" "$first"
    end=$((2 * pattern_bytes))
    # All of it once is enough: it is the transport that differs.
    case "$1" in pci-*) zone_actions "$1" "$zone" ;; esac
    succeeds "$1/conventional-kept" is_pattern "$1" 64
    zone_files "$1" "$end"
}

# zone_actions SERIAL ZONE: that zone is led through its states, and is full in the end. Sets $end to what is in it.
zone_actions() {
    for action in open:oe close:cl finish:fu reset:em; do
        succeeds "$1/${action%:*}" $TOOLS/blkzone "${action%:*}" -o $(($2 * zone_bytes / 512)) -c 1 "/dev/$(disk_of "$1")"
        succeeds "$1/${action%:*}-shows" zone_is "$1" "$2" "${action#*:}"
    done
    succeeds "$1/zeros-after-reset" zeros "$1" $(($2 * zone_bytes / BLOCK)) $((pattern_bytes / BLOCK))
    succeeds "$1/fill" dd if=/dev/zero of="/dev/$(disk_of "$1")" bs=64k seek=$(($2 * zone_bytes / 65536)) \
        count=$((zone_bytes / 65536)) oflag=direct conv=notrunc
    succeeds "$1/full-after-fill" zone_is "$1" "$2" fu
    end=$zone_bytes
}

# zone_files SERIAL BYTES: the kernel's file system whose files are the zones. So much is in the first sequential zone.
zone_files() {
    file=/mnt/seq/0
    succeeds "$1/zonefs-mount" mount -t zonefs "/dev/$(disk_of "$1")" /mnt
    expect "$1/zonefs-conventional" "$(find /mnt/cnv -type f | wc -l)" $((conventional_zones - 1))
    expect "$1/zonefs-sequential" "$(find /mnt/seq -type f | wc -l)" $((zoned_bytes / zone_bytes - conventional_zones))
    expect "$1/zonefs-size" "$(stat -c %s $file)" "$2"
    succeeds "$1/zonefs-reset" truncate -s 0 $file
    succeeds "$1/zonefs-reset-shows" zone_is "$1" "$conventional_zones" em
    pattern "$1" "$pattern_bytes" >/tmp/pattern
    for part in 1 2; do
        succeeds "$1/zonefs-append-$part" dd if=/tmp/pattern of=$file bs="$pattern_bytes" oflag=direct,append conv=notrunc
        expect "$1/zonefs-size-$part" "$(stat -c %s $file)" $((part * pattern_bytes))
    done
    forget_cache
    succeeds "$1/zonefs-content" sh -c "cat /tmp/pattern /tmp/pattern | cmp - $file"
    succeeds "$1/zonefs-umount" umount /mnt
}

# rooted SERIAL: the guest has booted from this disk, and keeps a file there.
rooted() {
    expect "$1/root" "$(awk '$2 == "/" { print $1, substr($4, 1, 2) }' /proc/mounts)" "/dev/$(disk_of "$1") rw"
    expect "$1/init" "$(tr '\0' ' ' </proc/1/cmdline)" "/bin/sh /sbin/init "
    succeeds "$1/file-write" dd if=/dev/urandom of=/guest.bin bs=64k count=24 conv=fsync
    written=$(digest /guest.bin)
    forget_cache
    expect "$1/file-read" "$(digest /guest.bin)" "$written"
    echo "L2 DIGEST $1 guest.bin $written"
}

# DISCARD 13, WRITE_ZEROES 14, CONFIG_WCE 11, MQ 12; the rest as in block-cases.sh.
for lane in $lanes; do
    identity "$lane-fio" "${lane%%-*}" $((fio_bytes * fio_queues)) 0 32 12
done
verified
for transport in $busy; do identity "$transport-busy" "$transport" "$busy_bytes" 0 32 && busy_rebind "$transport-busy"; done
if identity pci-trim pci "$trim_bytes" 0 32 9 11 13 14; then
    discarding pci-trim
    caching pci-trim
    trimming pci-trim
    # From outside it is seen that all of it was given back.
    succeeds pci-trim/blkdiscard-all $TOOLS/blkdiscard -f "/dev/$(disk_of pci-trim)"
fi
identity pci-qcow2 pci "$data_bytes" 0 32 9 13 14 && file_system pci-qcow2
identity pci-root pci "$root_bytes" 0 32 9 13 14 && rooted pci-root
for transport in $zoned; do zones "$transport-zoned"; done
# A block device with zones that L1 has, where it has one.
if [ -n "$host_zoned" ] && grep -qw "$host_zoned" /proc/cmdline; then zones "$host_zoned"; fi
