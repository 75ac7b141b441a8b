#!/bin/sh
# Makes the reference of the public headers with Doxygen, HTML in build/reference/html. Fails where Doxygen finds fault with a
# comment, or a type, function or constant of a public header has none. Members of classes may speak for themselves, and
# so may structs of options.
#
# Usage: tools/docs.sh [FOLDER]      (default: build/reference)
set -eu
cd "$(dirname "$0")/.."
out=${1:-build/reference}

if ! command -v doxygen >/dev/null; then
  echo "doxygen is missing (Debian: apt-get install doxygen)" >&2
  exit 77
fi
mkdir -p "$out"
{ cat docs/Doxyfile; echo "OUTPUT_DIRECTORY = \"$out\""; } | doxygen - 2>"$out/warnings.txt" >/dev/null
if grep -v -e 'warning: Member .* of \(class\|struct\) .* is not documented\.$' \
           -e 'warning: Compound .*Options is not documented\.$' "$out/warnings.txt"; then
  echo "tools/docs.sh: what stands above is missing or wrong" >&2
  exit 1
fi
echo "$out/html/index.html"
