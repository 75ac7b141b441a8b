#!/bin/sh
# Holds all C++ to .clang-format. With --fix it formats instead.
#
# Usage: tools/check_format.sh [--fix]
# Exit code 77 (skipped) without clang-format 14: other versions format differently.
set -eu
cd "$(dirname "$0")/.."

mode="--dry-run -Werror"
if [ "${1:-}" = --fix ]; then mode=-i; fi

for tool in clang-format-14 clang-format none; do
  if "$tool" --version 2>/dev/null | grep -q 'version 14\.'; then break; fi
done
if [ "$tool" = none ]; then
  echo "clang-format 14 is not installed; nothing checked"
  exit 77
fi

folders=
for folder in src include tests bench examples fuzz; do
  if [ -d $folder ]; then folders="$folders $folder"; fi
done
find $folders -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort | xargs "$tool" --style=file $mode
