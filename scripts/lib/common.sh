# shellcheck shell=bash
# Sourced by the scripts of this folder: messages, the cache folder, retries.

LIB="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck disable=SC2034 # used by the scripts that source this file
E2E="$(cd "$LIB/../e2e" && pwd)"
CACHE="${VIRTIO_CACHE:-$HOME/.cache/virtio-e2e}"

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# need_value OPTION [VALUE]...: ends the script when the option is the last word.
need_value() { [ $# -gt 1 ] || { say "${0##*/}: $1 needs a value (see --help)"; exit 2; }; }

# Prints the comment at the head of the running script, which is its manual.
# shellcheck disable=SC2120
usage() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"; exit "${1:-0}"; }

# retry TIMES COMMAND...: archives and networks fail now and then.
retry() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        say "retrying: $*"
        sleep 3
    done
}

# younger_than HOURS FILE: whether FILE exists and was written less than HOURS ago.
younger_than() { [ -n "$(find "$2" -maxdepth 0 -mmin "-$(($1 * 60))" 2>/dev/null)" ]; }

# only_one NAME: holds the lock NAME of the cache until the script ends.
only_one() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$1.lock"
    flock 9
}
