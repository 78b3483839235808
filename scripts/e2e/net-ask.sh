# shellcheck shell=dash
# Runs in L1 for each connection of a guest: does what it asks for in one line, and answers with what there is to say. A device
# is named as in "nets".
set -f
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./vmm.sh
# shellcheck disable=SC2034 # for vmm.sh
control=./control

# Without a path, the shell takes its own.
ip() { ./bin/ip "$@"; }
near_of() { if [ -e "/sys/class/net/$1-near" ]; then echo "$1-near"; else echo "$1"; fi; }
number_of() { echo $(($(sed -n "/^$1 /=" nets) - 1)); }

# frames NAME: those of its file, 64 bytes each.
frames() { socat -u -b 64 "OPEN:$1.frames" "INTERFACE:$(near_of "$1")" && echo sent; }

# announced NAME: the address that the guest has told the network, unasked, since all was forgotten.
announced() {
    number=$(number_of "$1") tries=50
    ip neigh flush dev "$(near_of "$1")"
    vmm_announce "$1" || return
    until ip neigh show "10.0.$number.2" | grep lladdr || [ $tries = 0 ]; do sleep 0.1 && tries=$((tries - 1)); done
}

# received NAME BYTES DIGEST: the digest of the datagrams that came, once there are so many bytes, what is known if it is not that
# one, and how many frames have come by that device.
received() {
    tries=100
    until [ "$(stat -c %s datagrams)" -ge "$2" ] || [ $tries = 0 ]; do sleep 0.1 && tries=$((tries - 1)); done
    digest=$(sha256sum <datagrams | cut -d ' ' -f 1)
    [ "$digest" = "$3" ] || digest="$digest of $(stat -c %s datagrams) bytes, $(grep -h '^Udp: \|^Ip: ' /proc/net/snmp | tr '\n' ' ')"
    echo "$digest $(cat "/sys/class/net/$(near_of "$1")/statistics/rx_packets")"
    : >datagrams
}

# send NAME PORT BYTES SIZE [OPTION]: the first bytes of the data as datagrams of that size.
send() { head -c "$3" data | socat -u -b "$4" - "UDP4:10.0.$(number_of "$1").2:$2$5"; }

# fetch PORT: what is served here. passt has a connection begin with the first byte to there.
fetch() {
    mkfifo user/talk
    echo >user/talk &
    timeout 60 nc 127.0.0.1 "$1" <>user/talk
}

read -r line
# shellcheck disable=SC2086
set -- $line
case "$1" in
link) vmm_link "$2" "$3" ;;
announce) announced "$2" ;;
frames) frames "$2" ;;
forget) ip neigh flush dev "$(near_of "$2")" ;;
received) received "$2" "$3" "$4" ;;
send) send "$2" "$3" "$4" "$5" "$6" ;;
fetch) fetch "$2" | sha256sum | cut -d ' ' -f 1 ;;
*) echo "no such request: $*" ;;
esac 2>&1
