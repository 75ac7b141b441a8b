#!/bin/sh
# Packs what a machine with a GPU needs into one folder and one archive, so that the minutes for which it is at hand
# go into tools/device_check.sh, which lies in the folder: the program, the plugin, the tests and the check, with their
# libraries, the data set and the scripts for PyTorch. Nothing has to be installed or compiled there.
#
# Usage: tools/device_pack.sh [--build DIR] [--plugin FILE | --emulator-only] [--data DIR] [--no-archive] [FOLDER]
#   FOLDER        what is made anew, and FOLDER.tar.gz; default build/device-check
#   --build DIR   take what was built there, instead of building the preset ci
#   --plugin FILE the plugin; default that of the build, which has to be newer than its source
#   --emulator-only  none: the pack tries the check on the emulator
#   --data DIR    the four files of Fashion-MNIST; default the system's. Without them the check makes a stand-in.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { printf 'device_pack: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

build= plugin= emulator_only=false archive=true folder=$root/build/device-check data=${RESNET_DATA_DIR:-/usr/share/datasets/fashion-mnist}
while [ $# -gt 0 ]; do
  case "$1" in
    --build)      build=${2:?} && shift ;;
    --plugin)     plugin=${2:?} && shift ;;
    --data)       data=${2:?} && shift ;;
    --emulator-only) emulator_only=true ;;
    --no-archive) archive=false ;;
    -*)           sed -n 's/^# \(Usage\)/\1/p' "$0" >&2; exit 2 ;;
    *)            folder=${1%/} ;;
  esac
  shift
done

case $build in ''|/*) ;; *) build=$PWD/$build ;; esac
if [ -z "$build" ]; then
  build=$root/build/ci
  "$root/tools/build.sh" ci resnet_cli gpu_tests device_check resnet_fake_plugin resnet_fake_driver
  if ! $emulator_only && cmake --build "$build" --target help | grep -q '^resnet_cuda:'; then
    "$root/tools/build.sh" ci resnet_cuda
  fi
fi
for program in resnet tests/gpu_tests tests/device_check tests/fake_gpu/libresnet_cuda.so; do
  [ -f "$build/$program" ] || fail "there is no $build/$program" "leave --build away, so that it is built"
  # A program of an older source may hand the plugin arguments that its kernels read otherwise. Of what is in each.
  # Kernels and their words are in the plugins and in the tests, which have the emulator; and gpu/no_plugin.cpp is in none of these.
  rooms="device gpu engine compiler plan ops kernels train tensor"
  case $program in
    */libresnet_cuda.so) rooms=device others='device/words_cuda' ;;
    tests/gpu_tests)     others='device/words_cuda|gpu/no_plugin' ;;
    *)                   others='device/kernels/|device/words|gpu/no_plugin' ;;
  esac
  newer=$(cd "$root/src" && find $rooms -type f -newer "$build/$program" | grep -Ev "^($others)" | head -n 1)
  [ -z "$newer" ] || fail "$build/$program is older than src/$newer" "build it anew, or leave --build away"
done
[ -n "$plugin" ] || plugin=$build/libresnet_cuda.so
if ! $emulator_only; then
  [ -f "$plugin" ] || fail "there is no plugin $plugin" "CUDA's toolkit builds it, --plugin names one, --emulator-only does without"
  newer=$(find "$root/src/cuda" "$root/src/device" -type f -newer "$plugin" | head -n 1)
  [ -z "$newer" ] || fail "$plugin is older than $newer" "build it anew"
fi
# A folder of somebody's is not taken for an old pack.
if [ -e "$folder" ] && [ ! -f "$folder/device_check.sh" ]; then
  fail "$folder is there and is no pack" "name another folder, or remove it"
fi

rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib" "$folder/glibc" "$folder/emulated" "$folder/bench"
cp "$build/resnet" "$build/tests/gpu_tests" "$build/tests/device_check" "$folder/bin"
cp "$build"/tests/fake_gpu/*.so* "$folder/emulated"  # the emulator as a plugin, and a driver that is none
if ! $emulator_only; then
  cp "$plugin" "$folder/lib/libresnet_cuda.so"
  # CUDA's runtime is in it; what it takes of the driver is NVIDIA's promise for each major version.
  release=$(grep -ao 'Cuda compilation tools, release [0-9.]*' "$plugin" | head -n 1 | sed 's/.* //')
  case "$release" in
    12.*) driver="525 or newer" ;;
    13.*) driver="580 or newer" ;;
    *)    driver="(see NVIDIA's table of CUDA's versions)" ;;
  esac
  echo "device_pack: the plugin has CUDA ${release:-?} in it and needs NVIDIA's driver $driver" >&2
fi
strip "$folder"/bin/* "$folder"/emulated/*.so "$folder"/lib/*.so 2>/dev/null || true

# Libraries of this machine; those of the C library apart, for machines with an older one.
ldd "$folder"/bin/* | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | sort -u | while read -r library; do
  case "$library" in
    */libc.so.*|*/libm.so.*|*/libdl.so.*|*/libpthread.so.*|*/librt.so.*|*/ld-linux*) cp -L "$library" "$folder/glibc" ;;
    *) cp -L "$library" "$folder/lib" ;;
  esac
done

cp "$root/tools/device_check.sh" "$folder"
cp "$root/bench/rival_gpu.py" "$root/bench/rival_step.py" "$folder/bench"
if [ -f "$data/train-images-idx3-ubyte.gz" ] || [ -f "$data/train-images-idx3-ubyte" ]; then
  mkdir "$folder/data"
  cp "$data"/train-* "$data"/t10k-* "$folder/data"
else
  echo "device_pack: no Fashion-MNIST in $data: the check makes a stand-in" >&2
fi
git -C "$root" describe --always --dirty >"$folder/version" 2>/dev/null || echo unknown >"$folder/version"

if $archive; then
  tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
  bytes=$(wc -c <"$folder.tar.gz")
  echo "$folder.tar.gz: $((bytes / 1048576)) MiB"
  [ "$bytes" -le 62914560 ] || fail "the archive has more than 60 MiB" "see what of it is needed: du -a $folder"
fi
echo "$folder: there, run $(basename "$folder")/device_check.sh"
