#!/bin/sh
# Build the control plane of Kubernetes from Debian's source package, and unpack etcd beside it: what the tests of the
# deployer run against when no cluster is named.
#
#   tests/cluster/build_control_plane.sh          build, unless it is there; some 10 minutes, 3 GB of disk meanwhile
#   tests/cluster/build_control_plane.sh --path   print the folder; exit 1 if nothing is built there
#
# Debian 12 alone has the whole source tree (later releases carry kubectl only), so this needs its archive among the
# machine's own package sources. They are left alone: a list of our own, in the build's folder, is used once.
set -eu
unset CDPATH

version=1.20.2 # what Debian 12 has, as 1.20.5+really1.20.2
release=bookworm
programs='kube-apiserver kube-controller-manager kube-scheduler'
cache=${XDG_CACHE_HOME:-$HOME/.cache}/iomtwin/kubernetes-$version
jobs=${JOBS:-$(nproc)}

fail() {
    echo "build_control_plane: $*" >&2
    exit 1
}

is_built() {
    [ -e "$cache/complete" ]
}

if [ "${1:-}" = --path ]; then
    echo "$cache"
    is_built
    exit
fi
if is_built; then exit 0; fi

command -v apt-get >/dev/null || fail 'needs apt-get, of Debian 12; or name a cluster with KUBECONFIG'
missing=''
for package in golang-go rsync jq dpkg-dev; do
    dpkg-query -W -f '${Status}' $package 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    [ "$(id -u)" -eq 0 ] || fail "first run: sudo apt-get install --no-install-recommends$missing"
    echo "build_control_plane: installing$missing"
    # shellcheck disable=SC2086 # one package a word
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing \
        </dev/null >/dev/null
fi

mkdir -p "$cache"
build=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT TERM
cd "$build"

# The machine's own mirror, whatever it is called.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
[ -n "$mirror" ] || fail 'apt names no package source with the component main'
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keys ] || fail 'needs the package debian-archive-keyring'
mkdir -p lists/partial archives/partial
for kind in deb deb-src; do echo "$kind [signed-by=$keys] $mirror $release main"; done >sources.list
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$build/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$build/lists" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@" </dev/null
}
apt update || fail "$mirror: has no $release; only Debian's archive does"
apt download etcd-server >/dev/null
dpkg-deb -x etcd-server_*.deb etcd-server
echo 'build_control_plane: unpacking the source of Kubernetes'
apt source kubernetes >/dev/null
cd kubernetes-*/
mkdir -p .go/src/k8s.io
ln -s ../../.. .go/src/k8s.io/kubernetes
echo "build_control_plane: compiling version $version with $jobs jobs"
export GOPATH="$PWD/.go" GOCACHE="$build/go-cache" CGO_ENABLED=0 GOPROXY=off GOFLAGS="-p=$jobs" GOMAXPROCS="$jobs" \
    KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=clean KUBE_GIT_VERSION=v$version KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20
make WHAT="$(printf 'cmd/%s ' $programs)" >"$build/make.log" 2>&1 || {
    tail -n 30 "$build/make.log" >&2
    fail 'the build failed; its last lines are above'
}
for program in $programs; do cp "_output/local/go/bin/$program" "$cache/"; done
cp "$build/etcd-server/usr/bin/etcd" "$cache/"
touch "$cache/complete" # last, so that half a build is none
echo "build_control_plane: $cache"
