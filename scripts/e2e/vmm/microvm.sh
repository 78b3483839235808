# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from vm.conf
# Sourced by run.sh and net.sh: our VMM. Uses kernel, initramfs, memory, cpus, cmdline, entropy (transports), control and log
# (files to make), and the files that are named by disks (lines of SERIAL TRANSPORT PATH READ_ONLY OPTION...) and nets (lines of
# NAME TRANSPORT NETWORK OPTION...), where they name one.

# vmm_run: boots the guest, its console on standard output; ends with it.
vmm_run() {
    set -- --kernel "$kernel" --initrd "$initramfs" --mem "${memory}M" --cpus "$cpus" --cmdline "$cmdline" --control "$control"
    while read -r serial transport path read_only options; do
        disk="path=$path,serial=$serial,transport=$transport"
        [ "$read_only" = off ] || disk="$disk,ro"
        for option in $options; do disk="$disk,$option"; done
        set -- "$@" --disk "$disk"
    done <"${disks:-/dev/null}"
    while read -r _ transport network options; do
        net="$network,transport=$transport"
        for option in $options; do net="$net,$option"; done
        set -- "$@" --net "$net"
    done <"${nets:-/dev/null}"
    for transport in $entropy; do set -- "$@" --rng "transport=$transport"; done
    rm -f "$control"
    RUST_LOG=warn ./bin/vmm boot "$@" 2>"$log"
    status=$?
    # Not before the end: in the middle of a line of the console it would break that one.
    sed 's/^/VMM /' "$log"
    if grep -q 'without io_uring' "$log"; then echo "RESULT NOTED disks by io_uring: it cannot be had here"; fi
    return "$status"
}

# vmm_resize SERIAL BYTES: after the file itself has been made larger.
vmm_resize() { ./bin/vmm ctl "$control" resize "$1" "$2"; }

# vmm_link NAME up|down, vmm_announce NAME: NAME is that of a tap.
vmm_link() { ./bin/vmm ctl "$control" link "$1" "$2" >/dev/null; }
vmm_announce() { ./bin/vmm ctl "$control" announce "$1" >/dev/null; }

# vmm_losses NAME: what the device has counted of frames that were lost or refused, by its own doing. Those that were not for the
# driver, or came while there was no link or queue, are no loss.
vmm_losses() {
    ./bin/vmm ctl "$control" stats "$1" | tr ',{}' '\n' |
        grep -E '"(rx_no_fit|rx_steering_full|rx_bad_buffer|rx_bad_header|rx_failed|rx_short|rx_oversize|rx_abandoned|tx_bad_buffer|tx_bad_header|tx_bad_length|tx_failed|commands_refused)": *[1-9]' |
        tr -d ' "\n'
}
