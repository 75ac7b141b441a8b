#!/bin/sh
# Installs what is missing, builds everything with warnings as errors, and runs the tests with the
# format and layer checks. The last line counts them; the exit code is 0 only if none failed.
#
#   ./test.sh          all tests but the slow ones
#   ./test.sh --full   all tests, clang-tidy, and the fast tests under the sanitizers
set -eu
cd "$(dirname "$0")"

case "$#:${1:-}" in
  0:)       full=false ;;
  1:--full) full=true ;;
  *)        echo "usage: ./test.sh [--full]" >&2; exit 2 ;;
esac

passed=0
failed=0

# Runs the tests of a preset: run_tests PRESET [ctest arguments]
run_tests() {
  preset=$1
  shift
  results="$PWD/build/$preset/results.xml"
  rm -f "$results"
  code=0
  $unrandomised ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel 2 \
    --output-junit "$results" "$@" || code=$?
  good=0
  bad=0
  if [ -f "$results" ]; then
    good=$(grep -c '<testcase .*status="run"' "$results" || true)
    bad=$(grep -c '<testcase .*status="fail"' "$results" || true)
  fi
  # What ctest counts as failed without a verdict of its own: no test found, a program that is missing.
  if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  passed=$((passed + good))
  failed=$((failed + bad))
}

# Builds a preset; a build that fails counts as one failure.
build() {
  echo "== $1: build"
  if tools/build.sh "$@"; then
    echo "== $1: tests"
  else
    failed=$((failed + 1))
    return 1
  fi
}

unrandomised=
if $full; then
  tools/setup.sh full
  if build ci all all_verify_interface_header_sets; then run_tests ci; fi
  # ThreadSanitizer of g++ 12 cannot map its shadow where the kernel randomises addresses widely.
  if setarch "$(uname -m)" -R true 2>/dev/null; then unrandomised="setarch $(uname -m) -R"; fi
  for preset in asan-ubsan tsan; do
    if build $preset; then run_tests $preset --label-exclude '^(slow|lint)$'; fi
  done
else
  tools/setup.sh test
  if build ci all all_verify_interface_header_sets; then run_tests ci --label-exclude '^slow$'; fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
