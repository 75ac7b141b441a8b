#!/bin/sh
# Configures and builds a preset of CMakePresets.json into build/<preset>, what has changed only.
# Everything it says goes to stderr.
#
# Usage: tools/build.sh PRESET [TARGET...]
set -eu
preset=$1
shift
cd "$(dirname "$0")/.."

# Taken over at the first configuration of a folder; harmless afterwards.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
mkdir -p "build/$preset"
if ! cmake --preset "$preset" >"build/$preset/configure.log" 2>&1; then
  cat "build/$preset/configure.log" >&2
  echo "resnet.cpp: configuring '$preset' failed" >&2
  exit 1
fi
if ! cmake --build "build/$preset" --target "${@:-all}" >&2; then
  echo "resnet.cpp: building '$preset' failed" >&2
  exit 1
fi
