# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from /net-expect.sh
# Runs in L2 after net-guest.sh: network devices that need no rights, in a machine of somebody who has none. /user-nets says which.

# shellcheck disable=SC2034 # for net-guest.sh
l1=$user_gateway

# passt NAME TRANSPORT ADDRESS: it gives the guest an address, and takes connections on to L1.
passt() {
    identity "$@" '' || return
    # What udhcpc calls when it has an address.
    cat >/tmp/bound <<'END'
#!/bin/sh
[ "$1" != bound ] || { ip address add "$ip/$mask" dev "$interface" && ip route replace default via "$router"; }
END
    chmod +x /tmp/bound
    succeeds "$1/dhcp" udhcpc -q -n -t 20 -T 1 -i "$1" -s /tmp/bound
    expect "$1/address" "$(ip -4 -o address show dev "$1" | awk '{ print $4 }')" "$user_address/24"
    # L1 itself is where the gateway is.
    expect "$1/tcp-down" "$(data_from "$user_gateway" /tmp/data)" "$data_sha256"
    expect "$1/tcp-up" "$(data_to "$user_gateway")" "$data_sha256"
    # Connections to L1's port 2222 come here.
    probe give 2222 /tmp/data --after-line &
    wait_for 10 grep -q ':08AE ' /proc/net/tcp
    expect "$1/tcp-in" "$(ask fetch 2222)" "$data_sha256"
}

# joined NAME FAR: two devices on one switch; the far one is in a network namespace of its own.
joined() {
    while read -r name transport network options; do
        [ "$network" != "switch=joined" ] || identity "$name" "$transport" "$(option mac "$options")" "$options" || return
    done </user-nets
    succeeds "$1/namespace" ip netns add far
    succeeds "$1/move" ip link set "$2" netns far
    ip address add 10.8.0.1/24 dev "$1"
    ip netns exec far ip address add 10.8.0.2/24 dev "$2"
    ip netns exec far ip link set "$2" up
    head -c 500000 /dev/urandom >/tmp/random
    ip netns exec far probe give 7001 /tmp/random &
    wait_for 10 ip netns exec far grep -q ':1B59 ' /proc/net/tcp
    pings "$1/ping" -c 3 10.8.0.2
    pings "$1/ping-fragments" -c 2 -s 20000 10.8.0.2
    expect "$1/tcp" "$(data_from 10.8.0.2)" "$(sha256sum </tmp/random | cut -d ' ' -f 1)"
}

while read -r name transport network options <&3; do
    case "$network" in passt=*) passt "$name" "$transport" "$(option mac "$options")" ;; esac
done 3</user-nets
joined switch-near switch-far
