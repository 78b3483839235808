# shellcheck shell=dash
# /run.sh of a payload, runs in L1: boots L2 with the VMM of vmm.sh, relays its console and does what a case asks for.
# A case asks with the line "L2 REQUEST resize SERIAL BYTES".

cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./vmm.sh

resize() {
    path=$(awk -v serial="$1" '$1 == serial { print $3 }' disks)
    truncate -s "$2" "$path" && vmm_resize "$1" "$2" || echo "RESULT resize FAIL $1"
}

carriage_return=$(printf '\r')
{
    vmm_run </dev/null
    echo "$?" >out/status
} 2>&1 | while IFS= read -r line; do
    line=${line%"$carriage_return"}
    printf '%s\n' "$line"
    case "$line" in
    "L2 REQUEST resize "*)
        # shellcheck disable=SC2086
        set -- $line
        resize "$4" "$5"
        ;;
    esac
done
# What of each disk takes room.
while read -r serial _ path _; do echo "RESULT blocks $serial $(stat -c %b "$path")"; done <disks
echo "RESULT vmm-exit $(cat out/status)"
