#!/bin/sh
# Gather all wheels that a worker's image needs, for one architecture: those pinned in constraints.txt, and iomtwin.
#
#   k3s/wheels.sh aarch64 13 FOLDER        for Python 3.13 on arm64
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
machine=$1 minor=$2 folder=$3
python=${PYTHON:-.venv/bin/python}
mkdir -p "$folder"
pip() {
    "$python" -m pip --disable-pip-version-check --quiet "$@"
}
requirements=$("$python" - <<'PYTHON'
import tomllib
extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']
print('\n'.join(each for name in ('worker', 'node') for each in extras[name] if not each.startswith('iomtwin')))
PYTHON
)
list=$(mktemp)
trap 'rm -f "$list"' EXIT
printf '%s\n' "$requirements" >"$list"
# glibc 2.36 is Debian 12's, which the base image is.
set --
for glibc in 36 34 31 28 27 24 17; do set -- "$@" --platform "manylinux_2_${glibc}_$machine"; done
pip download --only-binary :all: --implementation cp --python-version "3$minor" --platform "manylinux2014_$machine" "$@" \
    --constraint constraints.txt --dest "$folder" --requirement "$list"
pip wheel --no-deps --no-build-isolation --wheel-dir "$folder" .
