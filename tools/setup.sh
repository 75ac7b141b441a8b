#!/bin/sh
# Installs the Debian or Ubuntu packages that a job needs and that are missing; says which before it
# does, and nothing at all when none is. Where there is CUDA's toolkit, what its tests miss of it comes from PyPI.
#
# Usage: tools/setup.sh train|test|full
#   train  to build the program and train with it
#   test   the above, and what ./test.sh needs
#   full   the above, and what ./test.sh --full needs
set -eu

train="g++ cmake ninja-build pkg-config libhwy-dev libfmt-dev nlohmann-json3-dev libcli11-dev
       libtomlplusplus-dev zlib1g-dev libmd-dev libjpeg-dev libpng-dev libwebp-dev libminizip-dev
       libonnx-dev libprotobuf-dev protobuf-compiler dataset-fashion-mnist"
test="libgtest-dev libgmock-dev clang-format python3"
full="clang clang-tidy llvm valgrind doxygen dpkg-dev file debootstrap umoci chromium-headless-shell wrk"

case "${1:-}" in
  train) wanted="$train" ;;
  test)  wanted="$train $test" ;;
  full)  wanted="$train $test $full" ;;
  *)     echo "usage: tools/setup.sh train|test|full" >&2; exit 2 ;;
esac

# CUDA's toolkit may come without the programs that list machine code, which tools/check_sass.py reads.
listers="$(dirname "$0")/../build/cuda-tools"
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
get_listers() {
  if [ "$1" = train ] || [ ! -x "$nvcc" ] || [ -x "$(dirname "$nvcc")/cuobjdump" ] || [ -d "$listers/nvidia" ] ||
     command -v cuobjdump >/dev/null; then return 0; fi
  echo "Getting cuobjdump and nvdisasm from PyPI into build/cuda-tools" >&2
  python3 -m pip --quiet --disable-pip-version-check --timeout 20 --retries 1 install --root-user-action ignore --no-deps --target "$listers" \
      "nvidia-cuda-cuobjdump==13.*" "nvidia-cuda-nvdisasm==13.*" >&2 ||
    echo "They are not to be had: the machine code of the plugin for GPUs is not checked" >&2
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This system has no apt; going on with what is there. Needed are (by their Debian names):" $wanted >&2
    return 0
  fi

  # Names as given and as 'name:architecture', the state first; unknown names only make it say so.
  installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
              sed -n 's/^installed //p' || true)
  missing=
  for package in $wanted; do
    echo "$installed" | grep -qxF "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0

  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Missing packages, and neither root nor sudo to install them. As root: apt-get install$missing" >&2
      exit 1
    fi
    as_root=sudo
  fi

  echo "Installing with${as_root:+ $as_root} apt-get:$missing" >&2
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends $missing >&2
}

install_packages
get_listers "$1"
