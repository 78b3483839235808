# shellcheck shell=bash
# Sourced by the scripts that need a nightly compiler.

# Ends the script with 77, which stands for "not tested", unless a nightly compiler is installed; sets `nightly` to its
# toolchain.
need_nightly() {
    nightly=$(rustup toolchain list 2>/dev/null | sed -n 's/^\(nightly[^ ]*\).*/\1/p' | head -n 1)
    if [ -z "$nightly" ]; then
        say "${0##*/}: SKIPPED, NOTHING WAS TESTED: there is no nightly compiler (rustup toolchain install nightly)"
        exit 77
    fi
}
