# shellcheck shell=dash
# shellcheck disable=SC2154 # $entropy comes from /expect.sh
# Runs in L2 after guest.sh: entropy devices under the kernel's own driver, as /dev/hwrng. /expect.sh says on which
# transports there is one.

HWRNG=/sys/class/misc/hw_random

# entropy_on TRANSPORT: the virtio device of the entropy device there.
entropy_on() (
    for path in /sys/bus/virtio/devices/*; do
        device=$(basename "$path")
        [ $(($(cat "$path/device"))) = 4 ] && [ "$(transport_of "$device")" = "$1" ] && echo "$device" && return
    done
    return 1
)

# read_from NAME: reads it, chosen as the source of /dev/hwrng; the digest of what came.
read_from() {
    echo "$1" >$HWRNG/rng_current
    dd if=/dev/hwrng of=/tmp/random bs=1k count=16 2>/dev/null
    [ "$(wc -c </tmp/random)" = 16384 ] && sha256sum /tmp/random | cut -d ' ' -f 1
}

# entropy TRANSPORT: its bytes arrive, no two reads give the same, and it works again after a reset.
entropy() {
    rng=$1-rng
    if ! rng_device=$(entropy_on "$1"); then
        fail "$rng/device" "none"
        return
    fi
    features=$(features_of "$rng_device")
    pass "$rng/device" "$rng_device"
    echo "L2 NOTE $rng features $features"
    for bit in 32 28 29; do need_bit "$rng/feature-$bit" "$features" "$bit"; done
    # Without the others, it is the only one that /dev/hwrng can be.
    for other in $entropy; do
        [ "$other" = "$1" ] || entropy_on "$other" >/sys/bus/virtio/drivers/virtio_rng/unbind
    done
    for round in first rebound; do
        source=$(tr ' ' '\n' <$HWRNG/rng_available | grep '^virtio_rng')
        expect "$rng/$round-sources" "$(echo "$source" | wc -w)" 1
        before=$(interrupts_of "$rng_device")
        one=$(read_from "$source") && another=$(read_from "$source")
        if [ -n "$another" ] && [ "$one" != "$another" ]; then
            pass "$rng/$round-bytes" "$source $another"
        else
            fail "$rng/$round-bytes" "'$one' and '$another'"
        fi
        after=$(interrupts_of "$rng_device")
        if [ "$after" -gt "$before" ]; then pass "$rng/$round-interrupts" $((after - before)); else fail "$rng/$round-interrupts" none; fi
        [ "$round" = first ] || break
        succeeds "$rng/unbind" sh -c "echo $rng_device >/sys/bus/virtio/drivers/virtio_rng/unbind"
        succeeds "$rng/bind" sh -c "echo $rng_device >/sys/bus/virtio/drivers/virtio_rng/bind"
    done
    for other in $entropy; do
        [ "$other" = "$1" ] || entropy_on "$other" >/sys/bus/virtio/drivers/virtio_rng/bind
    done
}

for transport in $entropy; do entropy "$transport"; done
