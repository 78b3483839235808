# shellcheck shell=bash
# Sourced after common.sh: fills a payload folder, the root file system of what runs in L1.

# payload_create FOLDER: the folders that a root file system needs, and busybox.
payload_create() {
    mkdir -p "$1"/{bin,dev,proc,sys,tmp,lib64,out}
    cp "$(command -v busybox)" "$1/bin/busybox"
    ln -sf busybox "$1/bin/sh"
}

# payload_program FOLDER PROGRAM [NAME]: copies the program into bin, under another name if one is given, and the
# libraries that it is linked with to where it looks for them.
payload_program() {
    local library
    install -m 755 "$2" "$1/bin/${3:-$(basename "$2")}"
    { ldd "$2" 2>/dev/null || true; } | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p; s/^\s*(\/[^ ]+) .*/\1/p' | while read -r library; do
        [ -e "$1$library" ] || install -D -m 755 "$(readlink -f "$library")" "$1$library"
    done
}

# payload_qemu FOLDER: QEMU with the firmware of its microvm machine.
payload_qemu() {
    local name
    payload_program "$1" "$(command -v qemu-system-x86_64)"
    mkdir -p "$1/usr/share/qemu"
    for name in bios-microvm.bin linuxboot_dma.bin pvh.bin kvmvapic.bin; do
        cp -L "$(find /usr/share/qemu /usr/share/seabios -name "$name" | head -n 1)" "$1/usr/share/qemu/"
    done
}

# built PACKAGE PROGRAM [OPTION...]: builds a program of this repository in release mode and prints its path.
built() {
    local manifest="$LIB/../../Cargo.toml" package=$1 program=$2
    shift 2
    cargo build --quiet --release --package "$package" "$@" --manifest-path "$manifest" --message-format json-render-diagnostics |
        PROGRAM="$program" python3 -c '
import json, os, sys
built = [json.loads(line).get("executable") for line in sys.stdin if line.startswith("{")]
print(next(path for path in built if path and os.path.basename(path) == os.environ["PROGRAM"]))'
}

# built_vmm: this repository's VMM.
built_vmm() { built microvm microvm; }

# built_probe: what talks over networks, without the libraries of this machine.
built_probe() {
    local target
    target="$(rustc -vV | sed -n 's/^host: //p')"
    # For a target that is named, the flags do not concern what is run while building.
    RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" built e2e-probe probe --target "$target"
}
