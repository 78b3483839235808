# shellcheck shell=bash
# Sourced after payload.sh: what the part "net" of the end-to-end tests needs.

NET_MODULES="virtio_pci virtio_mmio virtio_net 8021q"
NET_MIB=1
NET_ADDRESS=10.7.0.2 NET_GATEWAY=10.7.0.1 NET_NEW=52:54:00:ee:00:01

# net_devices LANE...: the devices of the first guest: one to talk over, one for each lane, and one on a macvtap.
net_devices() {
    local lane number=1 options
    echo "control pci tap=control mac=52:54:00:00:00:00"
    for lane in "$@"; do
        case "$lane" in
        pci) options="mtu=9000" ;;
        *-packed) options="packed mtu=9000" ;;
        *-ordered) options="packed in-order" ;;
        *) options="" ;;
        esac
        # With the oldest kernel MMIO has two pairs of queues, and with the others PCI: so each lane has one pair and two.
        # shellcheck disable=SC2154 # set by whoever sources this
        case "$role $lane" in
        "oldest mmio"* | [!o]*" pci"*) options="$options queues=2" ;;
        esac
        # One of those has the driver steer, and is told by what.
        case "$role $lane" in "newest pci-ordered") options="$options rss hash-report" ;; esac
        echo "$lane ${lane%%-*} tap=$lane mac=52:54:00:00:00:0$number $options"
        number=$((number + 1))
    done
    echo "macvtap pci fd=9 mac=52:54:00:00:00:0$number"
}

# net_user_devices: those of the second guest.
net_user_devices() {
    echo "passt pci passt=user/passt mac=52:54:00:00:01:00"
    echo "switch-near pci switch=joined mac=52:54:00:00:01:01"
    echo "switch-far mmio switch=joined mac=52:54:00:00:01:02 packed"
}

# net_frames FOLDER: for each tap a file with frames of 64 bytes, to which the guest counts what it gets.
net_frames() {
    python3 - "$1" "$NET_NEW" <<'END'
import sys
folder, new = sys.argv[1:]
def frames(count, to, tag=None):
    header = bytes.fromhex(to.replace(":", "")) + bytes.fromhex("020000000001")
    header += b"" if tag is None else (0x8100 << 16 | tag).to_bytes(4, "big")
    return count * (header + b"\x88\xb5").ljust(64, b"\0")
for line in open(folder + "/nets"):
    name, _, network, *options = line.split()
    own = next(option[4:] for option in options if option.startswith("mac="))
    with open(f"{folder}/{name}.frames", "wb") as file:
        file.write(frames(8, own) + frames(16, new) + frames(32, "52:54:00:ff:ff:01") + frames(64, "01:00:5e:00:00:77")
                   + frames(128, own, 5) + frames(256, own, 6))
END
}

# net_payload FOLDER KERNEL "LANE..." LANE...: L1's side, and the initramfs of the guests. The first lanes are those that have all
# cases. The VMM is there already, and $probe the probe.
net_payload() {
    local name tree="$1/net-tree" folder=$1 kernel=$2 whole=$3
    shift 3
    for name in ip iperf3 passt setpriv tc; do payload_program "$folder" "$(command -v "$name")"; done
    # What passt becomes on CPUs that have AVX2.
    if [ -x "$(command -v passt.avx2)" ]; then payload_program "$folder" "$(command -v passt.avx2)"; fi
    mkdir -p "$tree"/{bin,cases}
    cp "$E2E/net.sh" "$E2E/net-user.sh" "$E2E/net-ask.sh" "$folder/"
    random_bytes "$SEED" "$((NET_MIB << 20))" >"$folder/data"
    net_devices "$@" >"$folder/nets"
    net_user_devices >"$folder/user-nets"
    net_frames "$folder"
    cat >"$folder/net.conf" <<END
initramfs=net-initramfs disks='' entropy='' user_address=$NET_ADDRESS user_gateway=$NET_GATEWAY
END
    for name in ethtool ip iperf3 ping taskset tc; do payload_program "$tree" "$(command -v "$name")"; done
    # shellcheck disable=SC2154 # set by whoever sources this
    install -m 755 "$probe" "$folder/bin/probe"
    install -m 755 "$probe" "$tree/bin/probe"
    cp "$E2E/guest.sh" "$E2E/net-guest.sh" "$folder/nets" "$folder/user-nets" "$tree/"
    cp "$E2E/net-cases.sh" "$tree/cases/net.sh"
    cp "$E2E/net-user-cases.sh" "$tree/cases/net-user.sh"
    cat >"$tree/net-expect.sh" <<END
data_sha256=$(sha256sum "$folder/data" | cut -d ' ' -f 1)
user_address=$NET_ADDRESS user_gateway=$NET_GATEWAY new_address=$NET_NEW whole="$(echo "$whole" | tr '\n' ' ')" role=$role
END
    "$LIB/initramfs" --kernel "$kernel" --modules "$NET_MODULES" --init "$E2E/net-init" --tree "$tree" "$folder/net-initramfs"
    rm -rf "$tree"
}
