# shellcheck shell=dash
# shellcheck disable=SC2154 # rounds comes from vm.conf
# /run.sh of boot-speed's payload, runs in L1: boots the guest with each VMM in turn and says how long it took.
# Results: "RESULT time VMM marker|exit SECONDS".

cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. ./vm.conf

seconds_since() {
    read -r now _ </proc/uptime
    echo "$1 $now" | awk '{ printf "%.2f\n", $2 - $1 }'
}

# boot VMM: the marker is the line that the guest's init prints.
boot() {
    # shellcheck source=/dev/null
    . "./vmm/$1.sh"
    read -r began _ </proc/uptime
    vmm_run </dev/null 2>&1 | while IFS= read -r line; do
        case "$line" in
        *"L2 SHELL"*) echo "RESULT time $1 marker $(seconds_since "$began")" ;;
        *) [ "$quiet" = yes ] || printf '%s\n' "$line" ;;
        esac
    done
    echo "RESULT time $1 exit $(seconds_since "$began")"
}

round=0
while [ "$round" -lt "$rounds" ]; do
    for vmm in $vmms; do (boot "$vmm"); done
    round=$((round + 1))
done
