# shellcheck shell=dash
# /run.sh of a payload, runs in L1: the parts that the payload has.

cd "$(dirname "$0")" || exit 1
[ ! -e block.sh ] || sh ./block.sh
if [ -e net.sh ]; then
    # Whoever is not root is so in a namespace of his own.
    as_root=''
    [ "$(id -u)" = 0 ] || as_root=-r
    # shellcheck disable=SC2086 # no option, or one
    unshare $as_root -n -m -p -f --mount-proc sh ./net.sh || echo "RESULT net/namespace FAIL $?"
fi
