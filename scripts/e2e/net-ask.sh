# shellcheck shell=dash
# Runs in L1 for each request of a guest that the probe does not do by itself: does what its words say, and answers with what
# there is to say. A device is named as in "nets".
set -f
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./vmm.sh

# Without a path, the shell takes its own.
ip() { ./bin/ip "$@"; }
near_of() { if [ -e "/sys/class/net/$1-near" ]; then echo "$1-near"; else echo "$1"; fi; }
number_of() { echo $(($(sed -n "/^$1 /=" nets) - 1)); }

# announced NAME: the address that the guest has told the network, unasked, since all was forgotten.
announced() {
    number=$(number_of "$1") tries=50
    ip neigh flush dev "$(near_of "$1")"
    vmm_announce "$1" || return
    until ip neigh show "10.0.$number.2" | grep lladdr || [ $tries = 0 ]; do sleep 0.1 && tries=$((tries - 1)); done
}

case "$1" in
link) vmm_link "$2" "$3" ;;
announce) announced "$2" ;;
forget) ip neigh flush dev "$(near_of "$2")" ;;
# What the device has lost or refused.
losses) vmm_losses "$2" ;;
# How many frames have come by that device.
counted) cat "/sys/class/net/$(near_of "$2")/statistics/rx_packets" ;;
*) echo "no such request: $*" ;;
esac 2>&1
