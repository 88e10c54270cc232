#!/bin/sh
# Shows that a worker runs on arm64: its wheels, an emulated processor, and a real broker on this machine. By hand, some
# five minutes: a manual target, for emulation is slow and says nothing of a Raspberry Pi's speed.
#
#   tests/cluster/arm64_worker.sh FOLDER
#
# Needs debootstrap, qemu-user-static and rabbitmq-server, and 700 MB in FOLDER, which stays for the next time.
set -eu
unset CDPATH
cd "$(dirname "$0")/../.."
folder=$1
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
if [ ! -e "$folder/complete" ]; then
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,ca-certificates bookworm "$folder/packages" \
        "$mirror"
    mkdir -p "$folder/root"
    for package in "$folder"/packages/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder/root" --keep-directory-symlink
    done
    touch "$folder/complete"
fi
rm -rf "$folder/wheels" "$folder/root/site"
sh k3s/wheels.sh aarch64 11 "$folder/wheels"
mkdir "$folder/root/site"
for wheel in "$folder"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$folder/root/site/"; done
IOMTWIN_ARM64="$folder/root" .venv/bin/python -m pytest -q -m cluster tests/cluster/test_arm64.py
