# shellcheck shell=bash
# Sourced after common.sh: apt over suites that this machine is not configured for, without touching its configuration.
# The machine's own Debian source supplies address and key; lists and downloads go to a folder of the cache.

SUITES_HOURS=12

# suites_use NAME SUITE...: later calls of suites_apt* see these suites only. Works without root.
suites_use() {
    SUITES_DIR="$CACHE/apt/$1"
    shift
    mkdir -p "$SUITES_DIR"/{parts,lists/partial,cache/archives/partial}
    local codename
    # shellcheck source=/dev/null
    codename="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
    suites_sources "$codename" "$@" >"$SUITES_DIR/parts/debian.sources.new"
    [ -s "$SUITES_DIR/parts/debian.sources.new" ] ||
        die "no apt source for the suite '$codename' found under /etc/apt: the kernels and QEMU come from Debian's archive"
    mv "$SUITES_DIR/parts/debian.sources.new" "$SUITES_DIR/parts/debian.sources"
}

# suites_sources CODENAME SUITE...: the machine's source for CODENAME, its suites replaced, in the deb822 format.
suites_sources() {
    local codename=$1
    shift
    {
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true
        # The one-line format: deb [options] URI suite component...
        { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
            sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +([^ ]+) +(.*)$/\nTypes: deb\nURIs: \2\nSuites: \3\nComponents: main\n/p'
    } | grep -v '^#' | awk -v RS= -v codename="$codename" -v suites="$*" '
        $0 !~ ("(^|\n)Suites:[^\n]* " codename "( |\n|$)") { next }
        { gsub(/(^|\n)Suites:[^\n]*/, "\nSuites: " suites); sub(/^\n/, ""); print; exit }'
}

suites_options() {
    printf '%s\n' -oDir::Etc::SourceList=/dev/null "-oDir::Etc::SourceParts=$SUITES_DIR/parts" \
        "-oDir::State::Lists=$SUITES_DIR/lists" "-oDir::Cache=$SUITES_DIR/cache" \
        -oDir::Cache::pkgcache=pkgcache.bin -oDir::Cache::srcpkgcache=srcpkgcache.bin \
        -oAPT::Update::Error-Mode=any -oAcquire::Retries=3 -oAcquire::Languages=none \
        -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    [ "$(id -u)" != 0 ] || printf '%s\n' -oAPT::Sandbox::User=root
}

# suites_apt COMMAND ARGUMENT...: COMMAND is apt-get or apt-cache.
suites_apt() {
    local tool=$1 options
    shift
    mapfile -t options < <(suites_options)
    "$tool" -q "${options[@]}" "$@"
}

# suites_update: refreshes the lists unless they are fresh; fails when the archive cannot be reached.
suites_update() {
    local stamp="$SUITES_DIR/updated"
    if younger_than "$SUITES_HOURS" "$stamp" && [ "$stamp" -nt "$SUITES_DIR/parts/debian.sources.used" ] &&
        cmp -s "$SUITES_DIR/parts/debian.sources" "$SUITES_DIR/parts/debian.sources.used"; then
        return
    fi
    retry 2 suites_apt apt-get update >"$SUITES_DIR/update.log" 2>&1 || { tail -n 5 "$SUITES_DIR/update.log" >&2; return 1; }
    cp "$SUITES_DIR/parts/debian.sources" "$SUITES_DIR/parts/debian.sources.used"
    touch "$stamp"
}
