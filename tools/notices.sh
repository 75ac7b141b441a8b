#!/bin/sh
# Prints under which licences the program and all that is within it may be passed on: ours, and the notices of the
# libraries that are compiled in or, in the static program, linked in. They ask to go along with copies of it.
#
# Usage: tools/notices.sh > FILE
set -eu
cd "$(dirname "$0")/.."

# By the Debian packages that tools/setup.sh installs.
packages="libc6-dev libstdc++-*-dev libhwy-dev libfmt-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev
          zlib1g-dev libmd-dev libjpeg-dev libpng-dev libwebp-dev libminizip-dev libonnx-dev libprotobuf-dev"

files=
for package in $packages; do
  for file in /usr/share/doc/$package/copyright; do  # the names of some have a version
    [ -r "$file" ] || { echo "no notices of $package: tools/setup.sh train" >&2; exit 1; }
    files="$files $file"
  done
done
echo "resnet.cpp"
echo
cat LICENSE
for file in $files; do
  printf '\n%s\n%s\n\n' "================================================================================" \
         "$(basename "$(dirname "$file")")"
  cat "$file"
done
