# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from /expect.sh
# Runs in L2 after guest.sh: the block device under the kernel's own driver. /expect.sh says which disks there are.

# Which virtio device has which serial, as " SERIAL=virtioN"... Asked for once: each time is a request to each disk, and some
# are slow. Processes are what takes time in here, so that below the shell does what it can do itself.
disks=' '

# disks_learn: looks at all disks that there are.
disks_learn() {
    disks=' '
    for disk_path in /sys/bus/virtio/devices/virtio*/block/vd*; do
        disk_serial=''
        # No line end follows.
        read -r disk_serial 2>/dev/null <"$disk_path/serial" || [ -n "$disk_serial" ] || continue
        disk_path=${disk_path%/block/*}
        disks="$disks$disk_serial=${disk_path##*/} "
    done
}

# disk_of SERIAL: the name of the disk, such as vda; fails when there is none.
disk_of() {
    case "$disks" in *" $1="*) ;; *) disks_learn ;; esac
    case "$disks" in *" $1="*) ;; *) return 1 ;; esac
    disk_path=${disks#*" $1="}
    for disk_path in "/sys/bus/virtio/devices/${disk_path%% *}"/block/vd*; do
        [ -e "$disk_path" ] && echo "${disk_path##*/}" && return
    done
    return 1
}
disk_exists() { disk_of "$1" >/dev/null; }
virtio_of() {
    link=$(readlink "/sys/block/$1/device") && echo "${link##*/}"
}
bytes_of() {
    read -r sectors <"/sys/block/$1/size" && echo $((sectors * 512))
}
has_size() { [ "$(bytes_of "$1")" = "$2" ]; }
# Once nothing is mounted, the device is asked for its data again.
forget_disk() { blockdev --flushbufs "/dev/$1"; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# identity SERIAL TRANSPORT BYTES READ_ONLY BIT...: size, transport, read-only flag, feature bits.
identity() {
    serial=$1 transport=$2 bytes=$3 read_only=$4
    shift 4
    if ! wait_for 30 disk_exists "$serial"; then
        fail "$serial/serial" "no disk has this serial"
        return 1
    fi
    disk=$(disk_of "$serial")
    device=$(virtio_of "$disk")
    features=$(features_of "$device")
    pass "$serial/serial" "$disk on $device"
    expect "$serial/transport" "$(transport_of "$device")" "$transport"
    expect "$serial/capacity" "$(bytes_of "$disk")" "$bytes"
    read -r flag <"/sys/block/$disk/ro"
    expect "$serial/read-only-flag" "$flag" "$read_only"
    echo "L2 NOTE $serial features $features"
    for bit in "$@" $extra_bits; do need_bit "$serial/feature-$bit" "$features" "$bit"; done
}

# file_system SERIAL: files made by the host are read, new ones written, and all found again after unmounting.
file_system() {
    serial=$1
    disk=$(disk_of "$serial")
    succeeds "$serial/mount" mount -t ext4 "/dev/$disk" /mnt
    succeeds "$serial/files-read" sh -c 'cd /mnt && sha256sum -c -s /manifest'
    succeeds "$serial/file-write" dd if=/dev/urandom of=/mnt/guest.bin bs=64k count=24 conv=fsync
    succeeds "$serial/tree-copy" cp -r /mnt/files /mnt/copy
    succeeds "$serial/sync" sync
    written=$(digest /mnt/guest.bin)
    echo "L2 DIGEST $serial guest.bin $written"
    succeeds "$serial/umount" umount /mnt
    verify "$serial" again
}

# verify SERIAL NAME: mounts afresh and compares with what was written.
verify() {
    disk=$(disk_of "$1")
    forget_disk "$disk"
    succeeds "$1/$2-mount" mount -t ext4 "/dev/$disk" /mnt
    expect "$1/$2-file" "$(digest /mnt/guest.bin)" "$written"
    succeeds "$1/$2-tree" sh -c 'cd /mnt && sha256sum -c -s /manifest && sed s,files/,copy/, /manifest | sha256sum -c -s'
    succeeds "$1/$2-umount" umount /mnt
}

# pattern SERIAL BYTES: the same bytes as the host makes for this serial.
pattern() { yes "virtio $1" | head -c "$2"; }

# is_pattern SERIAL BLOCK: the pattern lies at that block of 4 KiB of the device.
is_pattern() {
    disk=$(disk_of "$1") && forget_disk "$disk" || return 1
    pattern "$1" "$pattern_bytes" >/tmp/wanted
    dd if="/dev/$disk" of=/tmp/found bs=4096 skip="$2" count=$((pattern_bytes / 4096)) 2>/dev/null || return 1
    cmp /tmp/wanted /tmp/found
}

# write_pattern SERIAL BLOCK: writes the pattern there and reads it back from the device.
write_pattern() {
    disk=$(disk_of "$1") || return 1
    pattern "$1" "$pattern_bytes" | dd of="/dev/$disk" bs=4096 seek="$2" conv=fsync,notrunc iflag=fullblock 2>/dev/null || return 1
    is_pattern "$1" "$2"
}

# raw SERIAL: bytes at an offset, two writers at once, and growth while in use.
raw() {
    serial=$1
    disk=$(disk_of "$serial")
    succeeds "$serial/pattern" write_pattern "$serial" "$pattern_block"
    refuses "$serial/past-end" dd if=/dev/zero of="/dev/$disk" bs=4096 seek=$((raw_bytes / 4096)) count=1 conv=notrunc,fsync
    echo "L2 REQUEST resize $serial $grown_bytes"
    if wait_for 60 has_size "$disk" "$grown_bytes"; then
        pass "$serial/resize" "$grown_bytes"
        succeeds "$serial/pattern-in-new-part" write_pattern "$serial" "$grown_block"
    else
        fail "$serial/resize" "still $(bytes_of "$disk")"
    fi
}

# read_only SERIAL: content as the host made it; writes are refused.
read_only() {
    serial=$1
    disk=$(disk_of "$serial")
    expect "$serial/content" "$(digest "/dev/$disk")" "$ro_sha256"
    refuses "$serial/write" dd if=/dev/zero of="/dev/$disk" bs=4096 count=1 conv=notrunc,fsync
    forget_disk "$disk"
    expect "$serial/content-after" "$(digest "/dev/$disk")" "$ro_sha256"
}

# rebind SERIAL: takes the device from its driver and gives it back, which resets it; the data must still be there.
rebind() {
    serial=$1
    device=$(virtio_of "$(disk_of "$serial")")
    before=$(features_of "$device")
    succeeds "$serial/unbind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind"
    refuses "$serial/gone-after-unbind" disk_of "$serial"
    succeeds "$serial/bind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_blk/bind"
    if wait_for 30 disk_exists "$serial"; then
        expect "$serial/rebind-features" "$(features_of "$device")" "$before"
        verify "$serial" rebind
    else
        fail "$serial/rebind" "the disk did not come back"
    fi
}

# interrupts SERIAL TRANSPORT: some were counted, and on PCI they are MSI-X.
interrupts() {
    device=$(virtio_of "$(disk_of "$1")")
    number=$(interrupts_of "$device")
    if [ "$number" -gt 0 ]; then pass "$1/interrupts" "$number"; else fail "$1/interrupts" "none counted"; fi
    [ "$2" = pci ] || return 0
    expect "$1/msi-x" "$(cat "$(dirname "$(readlink -f "/sys/bus/virtio/devices/$device")")"/msi_irqs/* | sort -u)" msix
}

# VERSION_1 32, RING_INDIRECT_DESC 28, RING_EVENT_IDX 29, RING_PACKED 34, and of the block device SEG_MAX 2, BLK_SIZE 6,
# RO 5, FLUSH 9. IN_ORDER (35) is negotiated by the newest drivers only, so it is not asked for.
disks_learn
for lane in $lanes; do
    transport=${lane%%-*}
    case "$lane" in
    *-packed | *-ordered) ring=34 ;;
    *) ring='' ;;
    esac
    # shellcheck disable=SC2086 # no bit, or one
    {
        identity "$lane-data" "$transport" "$data_bytes" 0 32 28 29 $ring 2 6 9 && file_system "$lane-data"
        identity "$lane-raw" "$transport" "$raw_bytes" 0 32 28 29 $ring 2 6 9 && raw "$lane-raw"
        identity "$lane-ro" "$transport" "$ro_bytes" 1 32 28 29 $ring 2 6 5 && read_only "$lane-ro"
    }
    if disk_exists "$lane-data"; then
        rebind "$lane-data"
        interrupts "$lane-data" "$transport"
    fi
done
