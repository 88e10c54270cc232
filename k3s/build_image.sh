#!/bin/sh
# Build the workers' image as a tar that K3s takes: for a computer with buildah, without Docker and without a registry.
#
#   k3s/build_image.sh arm64 [OUT.tar]     for Raspberry Pi; amd64 for others
#
# The base image is fetched once. Without a way to any registry, BASE=localhost/base names one that `debootstrap` made:
# see README.md. Needs buildah, and qemu-user-static with binfmt for an architecture that is not this computer's.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

architecture=${1:-arm64}
version=$(sed -n "s/^version = '\(.*\)'/\1/p" pyproject.toml)
name=localhost/iomtwin-worker:$version
out=${2:-iomtwin-worker-$version-$architecture.tar}
python=${PYTHON:-.venv/bin/python}
minor=${PYTHON_MINOR:-13} # of the base image's Python 3

fail() {
    echo "build_image: $*" >&2
    exit 1
}

case $architecture in
    arm64) machine=aarch64 ;;
    amd64) machine=x86_64 ;;
    *) fail "found '$architecture'; expected arm64 or amd64" ;;
esac
command -v buildah >/dev/null || fail 'needs buildah; run: sudo apt-get install --no-install-recommends buildah'
[ -x "$python" ] || fail "found no $python; run: make run"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
trap 'exit 130' INT TERM
sh k3s/wheels.sh "$machine" "$minor" "$context/wheels"
cp k3s/Containerfile "$context/"
echo "build_image: building $name for $architecture"
buildah build --quiet --arch "$architecture" ${BASE:+--build-arg BASE="$BASE" --pull=never} --tag "$name" "$context" >/dev/null
rm -f "$out"
# docker-archive is what `k3s ctr images import` and the airgap folder have always taken.
buildah push --quiet "$name" "docker-archive:$out:$name"
echo "build_image: $out"
