# shellcheck shell=dash
# shellcheck disable=SC2154 # the values come from vm.conf and net.conf
# Runs in L1 as somebody without rights: boots the guest whose devices need none.
# shellcheck source=/dev/null
. ./vm.conf
# shellcheck source=/dev/null
. ./net.conf
# shellcheck source=/dev/null
. ./vmm.sh
echo "RESULT user $(id -u)"
# shellcheck disable=SC2034 # for vmm.sh
nets=user-nets control=user/control log=user/log cmdline="$cmdline cases=net-user"
vmm_run </dev/null
