# shellcheck shell=dash
# Sourced in L2 after guest.sh: what cases of network devices share. /nets and /user-nets are L1's files of these names.

# Without a path, the shell takes its own.
ip() { /bin/ip "$@"; }
ping() { /bin/ping "$@"; }
tc() { /bin/tc "$@"; }

# ask REQUEST [WORD...]: L1 does that (probe and net-ask.sh), and this is its answer. $l1 is L1's address.
# shellcheck disable=SC2154
ask() { probe ask "$l1" "$@"; }

# data_from ADDRESS [FILE]: the digest of L1's data, which is kept in the file. data_to ADDRESS: that of what L1 got, which is
# the data here.
data_from() { probe get "$1" ${2:+--to "$2"}; }
data_to() { probe put "$1" /tmp/data; }

# interface_with ADDRESS: the interface that has this Ethernet address.
interface_with() {
    for link in /sys/class/net/*; do
        read -r address <"$link/address" && [ "$address" = "$1" ] && [ -e "$link/device" ] && echo "${link##*/}" && return
    done
    return 1
}

# virtio_of INTERFACE
virtio_of() {
    link=$(readlink "/sys/class/net/$1/device") && echo "${link##*/}"
}

# has_bit NAME BIT: whether the device has negotiated this feature.
has_bit() { case " $(features_of "$(virtio_of "$1")") " in *" $2 "*) ;; *) return 1 ;; esac; }

# option NAME "OPTION...": the value of this option; fails where it is not there.
option() {
    case " $2 " in
    *" $1="*) value=${2#*"$1="} && echo "${value%% *}" ;;
    *" $1 "*) echo yes ;;
    *) return 1 ;;
    esac
}

# adopt NAME ADDRESS: the interface with this Ethernet address gets this name.
adopt() {
    interface=$(interface_with "$2") && ip link set "$interface" down && ip link set "$interface" name "$1" && ip link set "$1" up
}

# operates NAME: whether it sends what it is given. For a while after it was set up the kernel drops that.
operates() { [ "$(cat "/sys/class/net/$1/operstate")" = up ]; }

# counted NAME: frames that the driver got.
counted() { cat "/sys/class/net/$1/statistics/rx_packets"; }

# pings NAME COMMAND...: so many are answered as are asked for. Once one is, ping waits for the others no longer than that took
# twice, unless it has a deadline; then it sends more. Whether something is lost is seen by datagrams.
pings() {
    case_name=$1 && shift
    if message=$(ping -q -i 0.05 -w 20 "$@" 2>&1); then
        pass "$case_name" "${message##*= }"
    else
        fail "$case_name" "$(echo "$message" | tr '\n' ' ')"
    fi
}

# identity NAME TRANSPORT ADDRESS "OPTION...": transport, Ethernet address, feature bits. The interface is called as the device.
identity() {
    if ! { wait_for 30 adopt "$1" "$3" && wait_for 10 operates "$1"; }; then
        fail "$1/address" "no interface has $3"
        return 1
    fi
    device=$(virtio_of "$1")
    features=$(features_of "$device")
    pass "$1/address" "$3 on $device"
    expect "$1/transport" "$(transport_of "$device")" "$2"
    echo "L2 NOTE $1 features $features"
    # VERSION_1 32, RING_INDIRECT_DESC 28, RING_EVENT_IDX 29; MAC 5, STATUS 16, CTRL_VQ 17, CTRL_RX 18, CTRL_VLAN 19,
    # GUEST_ANNOUNCE 21, CTRL_MAC_ADDR 23, MRG_RXBUF 15.
    bits="32 28 29 5 16 17 18 19 21 23 15"
    # RING_PACKED 34. IN_ORDER (35) is negotiated by the newest drivers only, so it is not asked for.
    ! option packed "$4" >/dev/null || bits="$bits 34"
    ! option queues "$4" >/dev/null || bits="$bits 22"
    ! option rss "$4" >/dev/null || bits="$bits 60"
    ! option hash-report "$4" >/dev/null || bits="$bits 57"
    # What only new drivers have: NOTF_COAL 53, DEVICE_STATS 50, and on PCI RING_RESET 40.
    # shellcheck disable=SC2154 # from /net-expect.sh
    case "$role $2" in
    "newest pci") bits="$bits 53 50 40" ;;
    newest*) bits="$bits 53 50" ;;
    esac
    ! option mtu "$4" >/dev/null || bits="$bits 3"
    # Where the network does it: CSUM 0, GUEST_CSUM 1, GUEST_TSO4 7, GUEST_TSO6 8, HOST_TSO4 11, HOST_TSO6 12,
    # CTRL_GUEST_OFFLOADS 2.
    case "$4" in *" offloads"*) bits="$bits 0 1 2 7 8 11 12" ;; esac
    # As one result: each line of the console takes long.
    missing=''
    for bit in $bits; do case " $features " in *" $bit "*) ;; *) missing="$missing $bit" ;; esac; done
    expect "$1/features" "missing:$missing" "missing:"
}
