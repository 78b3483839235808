# shellcheck shell=dash
# Runs in L1 after run.sh: boots L2 with the VMM of vmm.sh, relays its console and does what a case asks for.
# A case asks with the line "L2 REQUEST resize SERIAL BYTES".

cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./vmm.sh

resize() {
    path=$(awk -v serial="$1" '$1 == serial { print $3 }' disks)
    truncate -s "$2" "$path" && vmm_resize "$1" "$2" || echo "RESULT resize FAIL $1"
}

# zoned_device SERIAL MIB ZONE_MIB CONVENTIONAL MAX_OPEN MAX_ACTIVE SUPER_BLOCK: a block device with zones of its own, with the
# first block of that file on it, which the guest gets as a disk. Sets $device. Fails where the kernel cannot make one.
zoned_device() {
    [ -d $nullb ] || { mount -t configfs none $config 2>/dev/null && mounted=yes; }
    mkdir "$nullb/$1" 2>/dev/null || return 1
    for value in size="$2" zone_size="$3" zone_nr_conv="$4" zone_max_open="$5" zone_max_active="$6" zoned=1 blocksize=4096 \
        memory_backed=1 power=1; do
        echo "${value#*=}" >"$nullb/$1/${value%%=*}" || return 1
    done
    device=/dev/$1
    [ -b "$device" ] || device=/dev/nullb$(cat "$nullb/$1/index")
    dd if="$7" of="$device" bs=4096 count=1 oflag=direct 2>/dev/null || return 1
    echo "$1 pci $device off zoned=host" >>disks
    cmdline="$cmdline $1"
}

# no_zoned_device SERIAL: takes it away, or what there is of it.
no_zoned_device() {
    if [ -d "$nullb/$1" ]; then echo 0 >"$nullb/$1/power" && rmdir "$nullb/$1"; fi
    [ -z "$mounted" ] || umount $config
}

config=/sys/kernel/config
nullb=$config/nullb mounted=''
if [ -n "$host_zones" ]; then
    # shellcheck disable=SC2086
    if zoned_device $host_zones; then
        # shellcheck disable=SC2154 # from vm.conf
        refusal=$(./bin/vmm boot --kernel "$kernel" --disk "path=$device" 2>&1)
        case "$refusal" in
        *zoned=host*) ;;
        *) echo "RESULT zones/ordinary-disk FAIL $refusal" ;;
        esac
    else
        echo "RESULT NOTED zones of the host: its kernel has no null_blk"
        no_zoned_device "${host_zones%% *}"
        host_zones=''
    fi
fi

carriage_return=$(printf '\r')
{
    vmm_run </dev/null
    echo "$?" >out/status
} 2>&1 | while IFS= read -r line; do
    line=${line%"$carriage_return"}
    printf '%s\n' "$line"
    case "$line" in
    "L2 REQUEST resize "*)
        # shellcheck disable=SC2086
        set -- $line
        resize "$4" "$5"
        ;;
    esac
done
# What of each disk takes room.
while read -r serial _ path _; do echo "RESULT blocks $serial $(stat -c %b "$path")"; done <disks
if [ -n "$host_zones" ]; then
    ./bin/blkzone report "$device" | sed "s/^/RESULT zone /"
    no_zoned_device "${host_zones%% *}"
fi
echo "RESULT vmm-exit $(cat out/status)"
