# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from vm.conf and net.conf
# Runs in L1 after run.sh, in namespaces of its own, which end with it: makes the networks, serves what the guests use in them, and boots
# the guests. What a guest wants done on this side it asks the probe for, and that net-ask.sh.
#
# The file "nets" has a line NAME TRANSPORT NETWORK OPTION... for each device of the first guest, "user-nets" those of the
# second, which is booted by somebody without rights. Line N of "nets", from 0, has the subnets 10.0.N.0/24 and fd00:N::/64, on
# which L1 is 1 and the guest 2, and with the VLANs 5 and 6 10.5.N.0/24 and 10.6.N.0/24.

cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./net.conf
# shellcheck source=/dev/null
. ./vmm.sh

# Without a path, the shell takes its own.
ip() { ./bin/ip "$@"; }

# network NUMBER NAME NETWORK "OPTION...": the interface behind a device. Sets $near to what L1 talks to the guest by.
network() {
    near=$2
    case "$3" in
    tap=*)
        case " $4 " in *" queues="*) multi=multi_queue ;; *) multi='' ;; esac
        # shellcheck disable=SC2086 # no word, or one
        ip tuntap add mode tap $multi name "$2" || return 1
        ;;
    fd=*)
        near=$2-near mac=${4#*mac=}
        ip link add "$near" type veth peer name "$2-far" && ip link set "$2-far" up &&
            ip link add link "$2-far" name "$2" address "${mac%% *}" type macvtap mode bridge || return 1
        macvtap=/dev/tap$(cat "/sys/class/net/$2/ifindex")
        ;;
    esac
    case " $4 " in *" mtu="*) mtu=${4#*mtu=} && ip link set "$near" mtu "${mtu%% *}" || return 1 ;; esac
    # What waits for long is not to be dropped, as fq_codel does: here everything takes long at times.
    ./bin/tc qdisc replace dev "$2" root pfifo limit 1000 || return 1
    # What the guest announces is to be learnt.
    ip link set "$2" up && ip link set "$near" up && ip address add "10.0.$1.1/24" dev "$near" &&
        ip address add "fd00:$1::1/64" dev "$near" nodad && echo 1 >"/proc/sys/net/ipv4/conf/$near/arp_accept" || return 1
    for tag in 5 6; do
        ip link add link "$near" name "$near.$tag" type vlan id $tag && ip link set "$near.$tag" up &&
            ip address add "10.$tag.$1.1/24" dev "$near.$tag" || return 1
    done
}

networks() {
    number=0 macvtap=/dev/null
    while read -r name _ network options; do
        network "$number" "$name" "$network" "$options" || echo "RESULT net/$name-network FAIL"
        number=$((number + 1))
    done <nets
    # What passt takes for the way out. Nothing is behind it.
    ip link add uplink type dummy && ip address add "$user_address/24" dev uplink && ip link set uplink up &&
        ip route add default via "$user_gateway" || echo "RESULT net/uplink FAIL"
    ip link set lo up
}

# serve PROGRAM ARGUMENT...: until the end.
serve() { "$@" </dev/null >>servers.log 2>&1 & }

serve_all() {
    serve probe serve --data data --script net-ask.sh
    serve iperf3 --server
}

# as_user COMMAND...: as somebody who is only in the group of /dev/kvm. Whoever may not become somebody else has no rights.
as_user() {
    if ./bin/setpriv --reuid 1000 --clear-groups true 2>/dev/null; then
        ./bin/setpriv --reuid 1000 --regid "$(stat -c %g /dev/kvm)" --clear-groups --inh-caps=-all --no-new-privs "$@"
    else
        "$@"
    fi
}

boot_root() {
    # shellcheck disable=SC2034 # for vmm.sh
    nets=nets cmdline="$cmdline cases=net"
    vmm_run </dev/null 9<>"$macvtap"
}

# serve_user: what the user runs beside the guest, in a folder of his own.
serve_user() {
    mkdir -p user && chmod 777 user
    as_user passt --foreground --quiet --socket user/passt --tcp-ports 2222 </dev/null >user.log 2>&1 &
    tries=50
    until [ -S user/passt ] || [ "$tries" = 0 ]; do tries=$((tries - 1)) && sleep 0.2; done
}

boot_user() { as_user sh ./net-user.sh; }

# guest NAME: boots it, and says how that ended.
guest() {
    {
        "boot_$1"
        status=$?
        if [ "$status" = 0 ]; then echo "RESULT net/vmm-exit-$1 ok"; else echo "RESULT net/vmm-exit-$1 FAIL $status"; fi
    } 2>&1 | while IFS= read -r line; do printf '%s\n' "${line%"$carriage_return"}"; done
}
carriage_return=$(printf '\r')

mount -t sysfs none /sys 2>/dev/null
networks
serve_all
guest root
serve_user
guest user
sed 's/^/L1 /' servers.log user.log
