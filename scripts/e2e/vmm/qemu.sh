# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from vm.conf
# Sourced by run.sh: QEMU's microvm machine, as a known-good VMM to check the cases against. Same interface as
# microvm.sh; $machine may name other options than a PCIe bus.

# vmm_run: without a clock chip (rtc) the kernel would wait for one.
vmm_run() {
    rm -f ./monitor.in ./monitor.out
    mkfifo ./monitor.in ./monitor.out
    set -- -M "microvm,accel=kvm,${machine:-pcie=on},rtc=on" -cpu host -m "$memory" -smp "$cpus" -L ./usr/share/qemu \
        -nodefaults -no-user-config -display none -no-reboot -serial stdio \
        -chardev pipe,id=monitor,path=./monitor -mon chardev=monitor -global virtio-mmio.force-legacy=false \
        -kernel "$kernel" -initrd "$initramfs" -append "$cmdline"
    while read -r serial transport path read_only features; do
        case "$transport" in
        mmio) device=virtio-blk-device ;;
        pci) device=virtio-blk-pci-non-transitional ;;
        esac
        format=raw
        for feature in $features; do
            case "$feature" in
            queues=*) device="$device,num-queues=${feature#queues=}" ;;
            format=*) format=${feature#format=} ;;
            packed) device="$device,packed=on" ;;
            in-order) device="$device,in_order=on" ;;
            esac
        done
        set -- "$@" -drive "id=$serial,file=$path,format=$format,if=none,discard=unmap,readonly=$read_only" \
            -device "$device,drive=$serial,serial=$serial"
    done <disks
    for transport in $entropy; do
        case "$transport" in
        mmio) set -- "$@" -device virtio-rng-device ;;
        pci) set -- "$@" -device virtio-rng-pci-non-transitional ;;
        esac
    done
    qemu-system-x86_64 "$@"
}

vmm_resize() { echo "block_resize $1 ${2}B" >./monitor.in; }
