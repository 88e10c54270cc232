#!/bin/sh
# Make .venv, the project's own Python environment, from the versions pinned in constraints.txt.
#
#   tools/bootstrap.sh        what running needs
#   tools/bootstrap.sh dev    and what the tests need; for root that is RabbitMQ too, from the system's packages
#
# Nothing happens when .venv is up to date. It is made anew when an earlier installation was interrupted, when the
# checkout was moved or copied (an environment holds absolute paths), and when its interpreter is gone.
# PYTHON=... names the interpreter; without it, the newest suitable one on the PATH is taken.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

checkout=$(pwd -P)
pins=$(cat pyproject.toml constraints.txt | cksum)
extra=${1:-run}
stamp=.venv/installed # lines: checkout, pins, extra; written last, so that half an installation has none

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

# The newest interpreter that can make an environment, or else the newest that lacks only Debian's venv package.
# The upper bound is where the pinned packages stop having wheels.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
    for modules in 'ensurepip, venv' sys; do
        best='' best_minor=0
        for candidate; do
            minor=$("$candidate" -c "
import sys, $modules
assert (3, 11) <= sys.version_info[:2] <= (3, 14) and sys.maxsize > 2**32
print(sys.version_info[1])" 2>/dev/null </dev/null) || continue
            if [ "$minor" -gt "$best_minor" ]; then best=$candidate best_minor=$minor; fi
        done
        if [ -n "$best" ]; then
            echo "$best"
            return
        fi
    done
    fail "no 64-bit Python 3.11 to 3.14 at '$*'; install one, or name it with PYTHON=/path/to/python3"
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

# Debian and its children ship Python without ensurepip, in a package of its own.
add_venv_package() {
    package=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    command -v apt-get >/dev/null || fail "$1 lacks the modules venv and ensurepip; install them, or set PYTHON to another"
    [ "$(id -u)" -eq 0 ] || fail "Python's venv module is missing; run: sudo apt-get update && sudo apt-get install -y $package"
    echo "bootstrap: installing $package"
    # A machine that has just booted may still be updating itself: wait for its lock. Without package lists, or with
    # old ones, the first attempt fails and says nothing of interest.
    apt_install $package 2>/dev/null || {
        apt-get -qq update </dev/null
        apt_install $package || apt_install python3-venv
    } || fail "could not install $package"
    can_make_venv "$1" || fail "$1 still lacks ensurepip after installing $package; set PYTHON to another"
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends "$1" \
        </dev/null >/dev/null
}

# RabbitMQ, for the tests that start one of their own. Without it they are skipped, and all others run.
# The package would start a service, now and at every boot; nothing here needs that.
add_rabbitmq() {
    if [ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; then return; fi
    by_hand='sudo apt-get install --no-install-recommends rabbitmq-server'
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "bootstrap: no rabbitmq-server, and tests that need it will be skipped; on Debian and Ubuntu run: $by_hand"
        return
    fi
    echo 'bootstrap: installing rabbitmq-server'
    had_epmd=$(command -v epmd || true)
    policy=/usr/sbin/policy-rc.d # where Debian asks whether an installed service may start
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    else
        policy=''
    fi
    apt_install rabbitmq-server 2>/dev/null || {
        apt-get -qq update </dev/null
        apt_install rabbitmq-server
    } || echo "bootstrap: could not install rabbitmq-server, and tests that need it will be skipped; see: $by_hand"
    if [ -n "$policy" ]; then
        rm -f $policy
        trap - EXIT
    fi
    systemctl disable rabbitmq-server >/dev/null 2>&1 || true
    if [ -z "$had_epmd" ]; then # Erlang's port mapper came with it, may be running, and would be open to the network
        systemctl disable epmd.service epmd.socket >/dev/null 2>&1 || true
        epmd -kill >/dev/null 2>&1 || true
    fi
}

interpreter() {
    "$1" -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null
}

# True if .venv is whole, belongs to this checkout and still runs; sets what it was installed from.
# pip is missing when the system's Python has moved on to another version under the same name.
venv_is_usable() {
    [ -f $stamp ] || return 1
    { IFS= read -r at && IFS= read -r installed_pins && IFS= read -r installed_extra; } <$stamp || return 1
    [ "$at" = "$checkout" ] || return 1
    .venv/bin/python -c 'import pip' 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] || [ "$(interpreter "$PYTHON")" = "$(interpreter .venv/bin/python)" ]
}

if [ "$extra" = dev ]; then add_rabbitmq; fi
if venv_is_usable; then
    # What the tests need stays until the environment is made anew.
    if [ "$installed_extra" = dev ]; then extra=dev; fi
    if [ "$installed_pins $installed_extra" = "$pins $extra" ]; then exit 0; fi
else
    python=$(choose_python)
    can_make_venv "$python" || add_venv_package "$python"
    echo "bootstrap: making .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo 'bootstrap: installing the pinned packages into .venv'
rm -f $stamp
pip_install() {
    .venv/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: --constraint constraints.txt "$@" </dev/null
}
# The build backend is pinned like the rest, so it goes in first and the build may not fetch its own.
pip_install setuptools
case $extra in
    run) pip_install --no-build-isolation --editable . ;;
    *) pip_install --no-build-isolation --editable ".[$extra]" ;;
esac
printf '%s\n' "$checkout" "$pins" "$extra" >$stamp
