#!/usr/bin/env bash
# install_test.sh BUILD: installs octet into an empty prefix, builds examples/embed against it outside the tree, runs it.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

cmake --install "$1" --prefix "$scratch/prefix" >"$scratch/install.log"
cp -r "$root/examples/embed" "$scratch/embed"
cmake -S "$scratch/embed" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix"
cmake --build "$scratch/build"
"$scratch/prefix/bin/octet" --version
"$scratch/prefix/bin/octet" doctor | grep -F "engine   $scratch/prefix/" # its own, wherever CMAKE_INSTALL_LIBDIR is
cd "$scratch" && env -u LD_LIBRARY_PATH "$scratch/build/embed"
