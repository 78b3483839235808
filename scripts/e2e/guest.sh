# shellcheck shell=dash
# Sourced in L2 (busybox sh): how a case reports, and what it often asks of /sys. One line per result on the console,
# "L2 NAME ok|FAIL @SECONDS DETAIL", where the seconds are since the kernel began, and a last one, "L2 END COUNT", from which
# the reader knows that none is missing.

count=0

pass() { report ok "$@"; }
fail() { report FAIL "$@"; }
report() {
    count=$((count + 1)) && verdict=$1 && name=$2 && shift 2
    read -r now _ </proc/uptime
    echo "L2 $name $verdict @$now $*"
}
finish() { echo "L2 END $count"; }

# expect NAME ACTUAL EXPECTED
expect() {
    if [ "$2" = "$3" ]; then pass "$1" "$2"; else fail "$1" "$2, expected $3"; fi
}

# succeeds NAME COMMAND..., refuses NAME COMMAND...
succeeds() {
    case_name=$1 && shift
    if message=$("$@" 2>&1); then pass "$case_name"; else fail "$case_name" "exit $?: $message"; fi
}
refuses() {
    case_name=$1 && shift
    if message=$("$@" 2>&1); then fail "$case_name" "$* succeeded"; else pass "$case_name" "$message"; fi
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when it does not in that time.
wait_for() {
    rounds=$(($1 * 5)) && shift
    until "$@"; do
        [ "$rounds" -gt 0 ] || return 1
        rounds=$((rounds - 1))
        sleep 0.2
    done
}

# features_of virtioN: the numbers of the negotiated feature bits.
features_of() {
    awk '{ for (bit = 0; bit < length($1); bit++) if (substr($1, bit + 1, 1) == "1") printf "%s%d", n++ ? " " : "", bit }' \
        "/sys/bus/virtio/devices/$1/features"
}

# need_bit NAME "BITS" BIT
need_bit() {
    case " $2 " in
    *" $3 "*) pass "$1" ;;
    *) fail "$1" "bit $3 is not negotiated, there are: $2" ;;
    esac
}

# transport_of virtioN: mmio or pci, from the driver of the device that the virtio device sits on.
transport_of() {
    link=$(readlink "/sys/bus/virtio/devices/$1/../driver") && echo "${link##*/virtio-}"
}

# interrupts_of virtioN: how many interrupts of the device were counted, on all CPUs.
interrupts_of() {
    awk -v device="$1" '
        $NF == device || index($NF, device "-") == 1 { for (field = 2; $field ~ /^[0-9]+$/; field++) sum += $field }
        END { print sum + 0 }' /proc/interrupts
}
