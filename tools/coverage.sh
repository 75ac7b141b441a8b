#!/bin/sh
# Lines and branches of what reads files of strangers and of what resumes runs, as far as the fast tests reach them.
#
# Usage: tools/coverage.sh [PART_OF_A_PATH...]
# Builds the preset `coverage`, runs the tests of those rooms and 200 inputs of each fuzz target, and prints a line a
# file; exit code 1 where less than 98 % of all lines or branches were reached. With parts of paths: these sources,
# with what no test reaches marked; nothing is built or run.
# Counted by clang (Debian's clang and llvm): a branch is a condition of the source that was true, or false. gcov counts
# the machine's, with one for every call that may throw and every destructor.
set -eu
cd "$(dirname "$0")/.."
build=build/coverage
goal=98

for tool in clang++ llvm-cov llvm-profdata; do
  command -v $tool > /dev/null || { echo "$tool is not installed: sudo apt-get install clang llvm"; exit 1; }
done

rooms="base cli compiler data fault gpu graph images io report serve settings train"
scripts="bad_input_test|folder_test|import_test|nonfinite_test|pictures_test|resume_test|run_test|seeds_test|time_test"
# What reads: texts and files, pictures, data sets, models, weights, requests, configurations, command lines. What resumes:
# checkpoints, and whose a folder is.
sources="$(ls src/base/json.cpp src/base/toml.cpp src/base/text.cpp src/base/files.cpp src/base/folders.cpp \
              src/base/file_system.cpp src/io/*.cpp src/io/pth/*.cpp \
              src/io/onnx/deviation.cpp src/io/onnx/evaluate.cpp src/io/onnx/read.cpp src/io/onnx/value.cpp \
              src/serve/http.cpp src/serve/multipart.cpp src/graph/text_form.cpp src/graph/attributes.cpp \
              src/images/bmp.cpp src/images/decode.cpp src/images/inflate.cpp src/images/jpeg.cpp \
              src/images/orientation.cpp src/images/png.cpp src/images/ppm.cpp src/images/webp.cpp \
              src/data/idx.cpp src/data/cifar.cpp src/data/packed.cpp src/data/listing.cpp src/data/scan.cpp \
              src/data/scan_cache.cpp src/data/sources.cpp src/data/augment_text.cpp \
              src/train/checkpoint.cpp src/train/checkpoint_keeper.cpp src/train/facts.cpp src/train/replay.cpp \
              src/train/diagnosis.cpp src/train/memory.cpp src/train/metrics.cpp src/train/fit.cpp \
              src/train/epoch.cpp src/train/stepper.cpp src/train/average.cpp src/train/time_plan.cpp src/report/run_record.cpp \
              src/report/read_result.cpp src/settings/settings.cpp src/settings/values.cpp src/cli/claim.cpp \
              src/cli/parser.cpp src/cli/training.cpp src/cli/train.cpp src/cli/earlier.cpp src/cli/seeds.cpp \
              src/compiler/verify.cpp)"

if [ $# -eq 0 ]; then
  [ -f $build/build.ninja ] || cmake --preset coverage
  cmake --build $build --target $(printf '%s_tests ' $rooms) resnet_cli example_chapter fuzz
  rm -rf $build/profiles
  export LLVM_PROFILE_FILE="$PWD/$build/profiles/%m.profraw"  # processes of one program add up in one file
  for room in $rooms; do
    filter='*'
    [ $room != gpu ] || filter='Ahead*:Choice*:GpuMemory*'  # what a run asks of it, not its kernels
    $build/tests/${room}_tests --gtest_brief=1 --gtest_filter="$filter"
  done
  $build/fuzz/fuzz all --runs 200
  ctest --test-dir $build --output-on-failure -R "^e2e/($scripts)\$"
  llvm-profdata merge -sparse $build/profiles/*.profraw -o $build/coverage.profdata
fi

objects="$build/fuzz/fuzz -object $build/resnet"
for room in $rooms; do
  objects="$objects -object $build/tests/${room}_tests"
done
if [ $# -gt 0 ]; then
  for part in "$@"; do
    llvm-cov show -instr-profile=$build/coverage.profdata $objects -show-branches=count -show-instantiations=false \
      $(ls $sources | grep -F -e "$part")
  done
  exit 0
fi
report=$(llvm-cov report -instr-profile=$build/coverage.profdata $objects -show-region-summary=false $sources)
echo "$report"
echo "$report" | awk -v goal=$goal '/^TOTAL/ { exit $7 + 0 < goal || $10 + 0 < goal }' ||
  { echo "Less than $goal % of lines or branches were reached."; exit 1; }
