# Sourced: apt_install PACKAGE..., which installs where this user may, and otherwise says what to type.

apt_install() {
    if ! command -v apt-get >/dev/null; then
        printf 'forkproxy: missing here, under the names that Debian gives them: %s\n' "$*" >&2
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        printf 'forkproxy: please install what is missing:\n    sudo apt-get install --no-install-recommends %s\n' "$*" >&2
        return 1
    fi
    printf 'forkproxy: installing %s\n' "$*" >&2
    local log
    log=$(mktemp)
    # The package lists may be old or absent: one try with what is there, one with fresh lists.
    if apt_try "$@" >"$log" 2>&1 ||
        { DEBIAN_FRONTEND=noninteractive apt-get update -qq >>"$log" 2>&1; apt_try "$@" >>"$log" 2>&1; }; then
        rm -f "$log"
        return 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    printf 'forkproxy: could not install %s\n' "$*" >&2
    return 1
}

apt_try() {
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" </dev/null
}
