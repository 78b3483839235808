# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from /net-expect.sh
# Runs in L2 after net-guest.sh: network devices on taps under the kernel's own driver. /nets says which there are; the first
# is what this side talks to L1 over while the others are tried.

# shellcheck disable=SC2034 # for net-guest.sh
l1=10.0.0.1

ethernet_of() { cat "/sys/class/net/$1/address"; }

addresses() {
    ip address add "10.0.$2.2/24" dev "$1"
    ip address add "fd00:$2::2/64" dev "$1" nodad
}

carrier() { [ "$(cat "/sys/class/net/$1/carrier")" = "$2" ]; }

# files NAME NUMBER: by TCP in both directions.
files() {
    expect "$1/tcp-down" "$(data_from "10.0.$2.1")" "$data_sha256"
    expect "$1/tcp-down-v6" "$(data_from "fd00:$2::1")" "$data_sha256"
    expect "$1/tcp-up" "$(data_to "10.0.$2.1")" "$data_sha256"
}

# speed NAME NUMBER: figures of iperf3 in both directions.
speed() {
    while read -r way address option; do
        # shellcheck disable=SC2086 # no option, or one
        if line=$(iperf3 -c "$address" -t 1 -f m $option 2>&1); then
            # The last of two lines is the receiver's.
            figure=$(echo "$line" | sed -n 's/.* \([0-9.]*\) Mbits\/sec .*receiver.*/\1/p')
            echo "L2 NOTE $1 iperf3 $way $figure Mbit/s"
            case "$figure" in
            '' | 0 | 0.00) fail "$1/iperf3-$way" "$line" ;;
            *) pass "$1/iperf3-$way" "$figure Mbit/s" ;;
            esac
        else
            fail "$1/iperf3-$way" "$(echo "$line" | tail -n 1)"
        fi
    done <<END
up 10.0.$2.1
down 10.0.$2.1 -R
END
}

# datagrams NAME NUMBER: such that go in many fragments, and such as are cut from what is written at once: by the device, where
# it can. None is missing, changed, doubled or late.
datagrams() {
    for kind in fragments segments; do
        case $kind in fragments) run="--count 5 --len 26880" ;; segments) run="--count 96 --len 1400 --at-once 32" ;; esac
        before=$(ask counted "$1")
        # shellcheck disable=SC2086 # several words
        expect "$1/udp-$kind-up" "$(probe up "$l1" "10.0.$2.1" $run)" all
        frames=$(($(ask counted "$1") - before)) counted=$(counted "$1")
        # shellcheck disable=SC2086
        expect "$1/udp-$kind-down" "$(probe down "$l1" "10.0.$2.2:9001" $run)" all
        counted=$(($(counted "$1") - counted))
    done
    echo "L2 NOTE $1 segments of 96 datagrams: $frames frames up, $counted down"
    # What is to be cut is so few frames as writes; HOST_USO is 56.
    if has_bit "$1" 56; then whole_segments=yes; else whole_segments=no; fi
    expect "$1/udp-segments-whole" "$(if [ "$frames" -lt 20 ]; then echo yes; else echo no; fi)" $whole_segments
}

# lengths NAME NUMBER MTU: frames of the most that there can be, and no more.
lengths() {
    expect "$1/mtu" "$(cat "/sys/class/net/$1/mtu")" "$3"
    pings "$1/ping-whole-$3" -c 3 -M 'do' -s $(($3 - 28)) "10.0.$2.1"
    refuses "$1/ping-too-long" /bin/ping -c 1 -W 0.2 -M 'do' -s $(($3 - 27)) "10.0.$2.1"
    pings "$1/ping-fragments" -c 2 -s 20000 "10.0.$2.1"
}

# link NAME NUMBER: the cable is pulled, and plugged in again.
link() {
    succeeds "$1/carrier-at-first" carrier "$1" 1
    ask link "$1" down
    succeeds "$1/carrier-lost" wait_for 10 carrier "$1" 0
    refuses "$1/ping-without-link" /bin/ping -c 1 -W 0.5 -I "$1" "10.0.$2.1"
    ask link "$1" up
    succeeds "$1/carrier-back" wait_for 10 carrier "$1" 1
    # It is some time until frames are sent again.
    succeeds "$1/ping-with-link" wait_for 10 busybox ping -q -c 1 -W 1 "10.0.$2.1"
    case "$(ask announce "$1")" in
    *"$(ethernet_of "$1")"*) pass "$1/announced" ;;
    *) fail "$1/announced" "L1 knows no address" ;;
    esac
}

# came NAME: which of the frames in L1's file "NAME.frames" the driver gets, of which there are 8 to the device's own address, 16
# to the one that it is given here, 32 to another one, 64 to a group, and with the VLANs 5 and 6 128 and 256 to its own.
came() {
    frames_before=$(counted "$1")
    [ "$(ask frames "$1" "$1.frames" 64)" -gt 0 ] || { echo "L1 did not send" && return 1; }
    # Behind them in the queue.
    busybox ping -q -c 1 -W 5 -I "$1" "10.0.$number.1" >/dev/null || { echo "no answer" && return 1; }
    came=$((($(counted "$1") - frames_before) / 8)) names=''
    for name in own new foreign group tag5 tag6; do
        [ $((came % 2)) = 0 ] || names="$names $name"
        came=$((came / 2))
    done
    names=${names# }
}
only() { came "$1" && echo "$names" && [ "$names" = "$2" ]; }

# gets NAME WHAT NAMES: these frames come, and no others, now or a while after the driver was told.
gets() { succeeds "$1/$2" wait_for 10 only "$1" "$3"; }

# filters NAME NUMBER: which frames come, by address and tag.
filters() {
    number=$2 own=$(ethernet_of "$1") group=01:00:5e:00:00:77
    gets "$1" filters-at-first own
    ip maddress add "$group" dev "$1"
    gets "$1" joined-group "own group"
    ip maddress del "$group" dev "$1"
    gets "$1" left-group own
    ip link set "$1" allmulticast on
    gets "$1" allmulticast "own group"
    ip link set "$1" allmulticast off
    ip link set "$1" promisc on
    gets "$1" promiscuous "own new foreign group tag5 tag6"
    ip link set "$1" promisc off
    gets "$1" not-promiscuous own
    # Another address of the device.
    ip link set "$1" address "$new_address"
    ask forget "$1"
    gets "$1" new-address new
    ip link set "$1" address "$own"
    ask forget "$1"
    gets "$1" first-address-again own
}

# vlan NAME NUMBER: 5 is wanted here, and 6 only there.
vlan() {
    number=$2
    succeeds "$1/vlan-add" ip link add link "$1" name "$1.5" type vlan id 5
    ip link set "$1.5" up
    ip address add "10.5.$2.2/24" dev "$1.5"
    expect "$1/vlan-tcp" "$(data_from "10.5.$2.1")" "$data_sha256"
    gets "$1" vlan-filter "own tag5"
    ip link del "$1.5"
    gets "$1" vlan-gone own
}

# settings NAME NUMBER PAIRS: what ethtool shows and sets.
settings() {
    wanted="tx-checksumming scatter-gather tcp-segmentation-offload generic-receive-offload rx-vlan-filter"
    features=$(ethtool -k "$1")
    for word in $wanted; do
        case "$features" in *"$word: on"*) wanted=${wanted#"$word"} && wanted=${wanted# } ;; esac
    done
    expect "$1/ethtool-features" "off: $wanted" "off: "
    # GUEST_OFFLOADS are taken back, and given again.
    succeeds "$1/ethtool-large-receive-off" ethtool -K "$1" rx-gro-hw off
    expect "$1/ethtool-large-receive-off-tcp" "$(data_from "10.0.$2.1")" "$data_sha256"
    succeeds "$1/ethtool-large-receive-on" ethtool -K "$1" rx-gro-hw on
    expect "$1/ethtool-channels" "$(ethtool -l "$1" | awk '/^Combined:/ { printf "%s ", $2 }')" "$3 $(channels_at_first "$3") "
    succeeds "$1/ethtool-statistics" sh -c "ethtool -S $1 | grep -q 'rx.*kicks: '"
    # What the device has counted, where the driver asks for it: DEVICE_STATS is 50.
    ! has_bit "$1" 50 || succeeds "$1/ethtool-device-statistics" sh -c "ethtool -S $1 | grep -q '[rt]x_hw_packets: [1-9]'"
    rings "$1" "$2"
    [ "$3" -gt 1 ] || return 0
    for pairs in 1 "$3"; do
        succeeds "$1/channels-$pairs" ethtool -L "$1" combined "$pairs"
        # Each CPU sends by a queue of its own; where it is another one that hears of what has arrived, some by that one's.
        for cpu in $(seq 0 $((pairs - 1))); do
            before=$(sent_by "$1" "$cpu")
            succeeds "$1/channels-$pairs-cpu-$cpu-tcp" taskset -c "$cpu" sh -c ". /net-guest.sh; data_to 10.0.$2.1 | grep -q $data_sha256"
            sent=$(($(sent_by "$1" "$cpu") - before))
            if [ "$sent" -gt 3 ]; then pass "$1/channels-$pairs-queue-$cpu" "$sent"; else fail "$1/channels-$pairs-queue-$cpu" "$sent frames"; fi
        done
    done
    steering "$1" "$2"
}
# The driver takes no more pairs than there are CPUs.
channels_at_first() { cpus=$(grep -c ^processor /proc/cpuinfo) && if [ "$1" -lt "$cpus" ]; then echo "$1"; else echo "$cpus"; fi; }
sent_by() { tc -s qdisc show dev "$1" | awk -v queue=":$(($2 + 1))" '$4 == "parent" { ours = $5 == queue } ours && $1 == "Sent" { print $4 }'; }

# steering NAME NUMBER: what comes goes to the queue that the driver's table names. RSS is 60.
steering() {
    if ! has_bit "$1" 60; then
        refuses "$1/rss-without-feature" ethtool -X "$1" weight 0 1
        return
    fi
    for queue in 1 0; do
        succeeds "$1/rss-$queue" ethtool -X "$1" weight $((1 - queue)) $queue
        before=$(received_by "$1" $((1 - queue)))
        expect "$1/rss-$queue-tcp" "$(data_from "10.0.$2.1")" "$data_sha256"
        expect "$1/rss-$queue-alone" $(($(received_by "$1" $((1 - queue))) - before)) 0
    done
    succeeds "$1/rss-equal" ethtool -X "$1" equal 2
}
received_by() { ethtool -S "$1" | sed -n "s/^ *rx$2_packets: //p"; }

# rings NAME NUMBER: so small that they are always full, and as before. RING_RESET is 40.
rings() {
    if ! has_bit "$1" 40; then
        refuses "$1/rings-without-reset" ethtool -G "$1" rx 32 tx 32
        return
    fi
    full=$(ethtool -g "$1" | awk '/^Current/ { now = 1 } now && /^RX:/ { print $2 }')
    for size in 32 "$full"; do
        succeeds "$1/rings-$size" ethtool -G "$1" rx "$size" tx "$size"
        expect "$1/rings-$size-shown" "$(ethtool -g "$1" | awk '/^Current/ { now = 1 } now && /^(RX|TX):/ { printf "%s ", $2 }')" "$size $size "
        expect "$1/rings-$size-tcp" "$(data_from "10.0.$2.1")" "$data_sha256"
    done
}

# rebind NAME NUMBER "OPTION...": the device is taken from its driver while frames go both ways, and given back.
rebind() {
    device=$(virtio_of "$1") mac=$(ethernet_of "$1") before=$(features_of "$(virtio_of "$1")") began=$(counted "$1")
    probe load "10.0.$2.1" >/dev/null &
    load=$!
    succeeds "$1/rebind-load" wait_for 10 above "$1" $((began + 100))
    succeeds "$1/unbind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_net/unbind"
    refuses "$1/gone-after-unbind" interface_with "$mac"
    kill "$load"
    wait
    succeeds "$1/bind" sh -c "echo $device >/sys/bus/virtio/drivers/virtio_net/bind"
    if ! { wait_for 30 adopt "$1" "$mac" && wait_for 10 operates "$1"; }; then
        fail "$1/rebind" "the interface did not come back"
        return
    fi
    expect "$1/rebind-features" "$(features_of "$device")" "$before"
    addresses "$1" "$2"
    pings "$1/rebind-ping" -c 2 "10.0.$2.1"
    expect "$1/rebind-tcp" "$(data_from "10.0.$2.1")" "$data_sha256"
}
above() { [ "$(counted "$1")" -gt "$2" ]; }

# interrupts NAME TRANSPORT: some were counted, and on PCI they are MSI-X.
interrupts() {
    device=$(virtio_of "$1")
    interrupts=$(interrupts_of "$device")
    if [ "$interrupts" -gt 0 ]; then pass "$1/interrupts" "$interrupts"; else fail "$1/interrupts" "none counted"; fi
    [ "$2" = pci ] || return 0
    expect "$1/msi-x" "$(cat "$(dirname "$(readlink -f "/sys/bus/virtio/devices/$device")")"/msi_irqs/* | sort -u)" msix
}

# device NUMBER NAME TRANSPORT OPTION...
device() {
    nic_number=$1 nic=$2 nic_transport=$3
    shift 3
    nic_options=$*
    identity "$nic" "$nic_transport" "$(option mac "$nic_options")" "$nic_options offloads" || return
    addresses "$nic" "$nic_number"
    pings "$nic/ping" -c 3 "10.0.$nic_number.1"
    if [ "$nic" = control ]; then
        expect "$nic/data" "$(data_from 10.0.0.1 /tmp/data)" "$data_sha256"
        return
    fi
    files "$nic" "$nic_number"
    # With each kernel some lanes, and the others with the other kernel.
    case "macvtap $whole" in *"$nic "*) ;; *) return ;; esac
    speed "$nic" "$nic_number"
    datagrams "$nic" "$nic_number"
    # A macvtap has an address and filters of its own.
    [ "$nic" != macvtap ] || return 0
    expect "$nic/nothing-lost" "$(ask losses "$nic")" ''
    lengths "$nic" "$nic_number" "$(option mtu "$nic_options" || echo 1500)"
    filters "$nic" "$nic_number"
    vlan "$nic" "$nic_number"
    settings "$nic" "$nic_number" "$(option queues "$nic_options" || echo 1)"
    link "$nic" "$nic_number"
    rebind "$nic" "$nic_number"
    interrupts "$nic" "$nic_transport"
}

nic_line=0
while read -r nic_name nic_transport _ nic_options <&3; do
    # shellcheck disable=SC2086
    device $nic_line "$nic_name" "$nic_transport" $nic_options
    nic_line=$((nic_line + 1))
done 3</nets
