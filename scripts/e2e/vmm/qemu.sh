# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from vm.conf
# Sourced by run.sh and net.sh: QEMU's microvm machine, as a known-good VMM to check the cases against. Same interface as
# microvm.sh; $machine may name other options than a PCIe bus.

# vmm_run: without a clock chip (rtc) the kernel would wait for one.
vmm_run() {
    rm -f "$control.in" "$control.out"
    mkfifo "$control.in" "$control.out"
    set -- -M "microvm,accel=kvm,${machine:-pcie=on},rtc=on" -cpu host -m "$memory" -smp "$cpus" -L ./usr/share/qemu \
        -nodefaults -no-user-config -display none -no-reboot -serial stdio \
        -chardev pipe,id=monitor,path=$control -mon chardev=monitor -global virtio-mmio.force-legacy=false \
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
    done <"${disks:-/dev/null}"
    while read -r name transport network options; do
        case "$transport" in
        mmio) device=virtio-net-device ;;
        pci) device=virtio-net-pci-non-transitional,romfile= ;;
        esac
        device="$device,id=$name,netdev=$name-net" queues=1
        for option in $options; do
            case "$option" in
            mac=*) device="$device,$option" ;;
            mtu=*) device="$device,host_mtu=${option#mtu=}" ;;
            queues=*) queues=${option#queues=} && device="$device,mq=on" ;;
            packed) device="$device,packed=on" ;;
            in-order) device="$device,in_order=on" ;;
            esac
        done
        case "$network" in
        tap=*) network="tap,ifname=${network#tap=},script=no,downscript=no,vhost=off" ;;
        fd=*) network="tap,vhost=off,fd=${network#fd=}" ;;
        passt=*) network="stream,server=off,addr.type=unix,addr.path=${network#passt=}" ;;
        switch=*) network="hubport,hubid=0" ;;
        esac
        [ "$queues" = 1 ] || network="$network,queues=$queues"
        set -- "$@" -netdev "$network,id=$name-net" -device "$device"
    done <"${nets:-/dev/null}"
    for transport in $entropy; do
        case "$transport" in
        mmio) set -- "$@" -device virtio-rng-device ;;
        pci) set -- "$@" -device virtio-rng-pci-non-transitional ;;
        esac
    done
    qemu-system-x86_64 "$@"
}

vmm_resize() { echo "block_resize $1 ${2}B" >"$control.in"; }

# vmm_link NAME up|down, vmm_announce NAME
vmm_link() { echo "set_link $1 $(if [ "$2" = up ]; then echo on; else echo off; fi)" >"$control.in"; }
vmm_announce() { echo "announce_self" >"$control.in"; }

# vmm_losses NAME: it does not say.
vmm_losses() { :; }
