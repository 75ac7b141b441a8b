#!/bin/sh
# Lines and branches of what reads files of strangers and of what resumes runs, as far as the fast tests reach them.
#
# Usage: tools/coverage.sh
# Builds the preset `coverage` and runs the tests of those rooms; prints a line a file. Branches that only an
# exception of something called takes are left out (every call has one): the fault loops count those. Needs
# gcovr, a Debian package.
set -eu
cd "$(dirname "$0")/.."

command -v gcovr > /dev/null || { echo "gcovr is not installed: sudo apt-get install gcovr"; exit 1; }
[ -f build/coverage/build.ninja ] || cmake --preset coverage
cmake --build build/coverage --target base_tests data_tests images_tests io_tests report_tests settings_tests train_tests fuzz
find build/coverage -name '*.gcda' -delete
for room in base data images io report settings train; do
  build/coverage/tests/${room}_tests --gtest_brief=1
done
for target in checkpoint cifar idx image json metrics safetensors toml; do
  build/coverage/fuzz/fuzz $target --runs 200
done
gcovr --root . --object-directory build/coverage --exclude-throw-branches --exclude-unreachable-branches --print-summary \
  --filter 'src/base/(json|toml|files|folders|file_system|text|sha256)\.' \
  --filter 'src/io/' --filter 'src/images/(bmp|decode|inflate|jpeg|orientation|png|ppm|webp)\.' \
  --filter 'src/data/(idx|cifar|packed|listing|scan_cache)\.' \
  --filter 'src/train/(checkpoint|checkpoint_keeper|facts)\.' --filter 'src/report/run_record\.' "$@"
