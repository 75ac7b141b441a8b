#!/bin/sh
# All that only a GPU can tell, in at most seven minutes, with one table last (docs/gpu-check.md). Each part has its own
# time limit; one that fails leaves its line, and the rest goes on. The exit code is 1 if any part failed.
#
# Usage: device_check.sh [--emulate] [--out DIR] [--seconds N] [--only PART,...]
#   --emulate   on the emulator, in small sizes: tries this script on a machine without a GPU
#   --out DIR   table.md, check.json, log.txt and what the training left; default $OUT, else device-check-results
#   --seconds N when to end: parts that are left then are not run; default 420, with --emulate ten times as long
#   --only ...  these parts alone, each with all of the time that is left: machine, peaks, kernels, gradients, hashes,
#               layers, own, library, overlap, train, pytorch, parity, resnet50, sanitizer, ncu
# Lies in a pack of tools/device_pack.sh; in the repository it makes one first. PYTHON names an interpreter that has torch.
set -u
here=$(cd "$(dirname "$0")" && pwd)

mode=card out=${OUT:-device-check-results} seconds= only= part=
while [ $# -gt 0 ]; do
  case "$1" in
    --emulate) mode=emulate ;;
    --out)     out=${2:?} && shift ;;
    --seconds) seconds=${2:?} && shift ;;
    --only)    only=${2:?} && shift ;;
    --part)    part=${2:?} && shift ;;  # this one, by itself, in the environment that the script has set up
    *)         sed -n 's/^# \(Usage\)/\1/p; s/^#   /  /p' "$0" >&2; exit 2 ;;
  esac
  shift
done

# ---- the parts: each prints rows of the table, what else it has to say, and at last its figures as JSON ----

within=  # a timeout for it
check() { name=$1 && shift && $within "$CHECK_BIN/device_check" "$name" $CHECK_FLAGS "$@"; }
skip() { echo "$1"; exit 77; }
row() { printf '| %s | %s | %s |\n' "$@"; }
quoted() { sed 's/^/    /' "$@"; }  # what is no row, whatever it begins with
# What a part has other programs say goes to this file, whose end is in the log where the part takes too long.
said=${CHECK_WORK:-}/$part.said
found() { command -v "$1" 2>/dev/null || { [ -x "/usr/local/cuda/bin/$1" ] && echo "/usr/local/cuda/bin/$1"; }; }

# each_form PART FORMS [flags]: a process each, so that a form that fails, after which CUDA does nothing more in its process,
# takes none of the others with it. Nor does one that does not end: each has two thirds of the part's time that is left. What was
# wrong comes last.
each_form() {
  what=$1 forms=$2 wrong= begin=$(date +%s)
  shift 2
  for form in $(echo "$forms" | tr , ' '); do
    code=0 most=$(((begin + CHECK_LIMIT - 3 - $(date +%s)) * 2 / 3))
    [ $most -ge 1 ] || most=1
    within="timeout -k 2 $most"
    check "$what" --forms "$form" "$@" 2>"$said" || code=$?
    case $code in
      0)       continue ;;
      124|137) echo "it does not end within $most s" >>"$said" ;;
    esac
    wrong="$wrong$form: $(cat "$said")
"
  done
  within=
  [ -z "$wrong" ] || { printf '%s' "$wrong"; return 1; }
}

# tests_of FILTER: their names.
tests_of() {
  timeout 20 "$CHECK_BIN/gpu_tests" --gtest_list_tests --gtest_filter="$1" | sed 's/ *#.*//' |
    awk '/^[^ ]/ { suite = $1 } /^  / { print suite $1 }'
}

# gtest FILTER: the tests of operations and engine, on the device, in one process that has two thirds of the part's time. Where
# one fails or does not end, those that have not passed run again, each in a process of its own: an error of CUDA's stays in
# its process, and all that follows there fails with it.
gtest() {
  begin=$(date +%s) code=0 wrong=
  together=$((CHECK_LIMIT > 2 ? CHECK_LIMIT * 2 / 3 : 1))
  timeout -k 5 $together "$CHECK_BIN/gpu_tests" --gtest_filter="$1" >"$said" 2>&1 || code=$?
  quoted "$said"
  sed -n 's/^\[ *\(OK\|SKIPPED\) \] \([^ ]*\) .*/\1 \2/p' "$said" >"$said.ended"
  sed 's/.* //' "$said.ended" >"$said.names"
  tests_of "$1" >"$said.all"
  for test in $([ $code -eq 0 ] || grep -vxF -f "$said.names" "$said.all"); do
    left=$((begin + CHECK_LIMIT - 3 - $(date +%s))) most=$((10 * CHECK_SLOWER)) alone=0
    [ $most -lt $left ] || most=$left
    if [ $most -lt 1 ]; then
      alone="not run again"
    else
      timeout -k 2 $most "$CHECK_BIN/gpu_tests" --gtest_filter="$test" >"$said" 2>&1 || alone=$?
      quoted "$said"
    fi
    case $alone in
      0)       echo "OK $test" >>"$said.ended"; continue ;;
      124|137) alone="does not end within $most s" ;;
      [0-9]*)  alone="fails by itself" ;;
    esac
    row "$test" FAILED "$alone"
    wrong="$wrong $test ($alone)"
  done
  passed=$(grep -c '^OK ' "$said.ended")
  row "tests passed" "$passed" "of $(wc -l <"$said.all")$([ $code -eq 0 ] || echo "; together they ended with $code within $together s")"
  [ -z "$wrong" ] || echo "failed:$wrong"
  # 124: together they were too slow. What else fails beside others alone is a fault, too.
  case $code in 0|124) ;; *) [ -n "$wrong" ] || echo "together they end with $code, by themselves none fails"; return 1 ;; esac
  [ -z "$wrong" ] && [ "$passed" -gt 0 ]
}

part_machine() {
  if [ $mode = card ] && smi=$(found nvidia-smi); then
    "$smi" --query-gpu=name,driver_version,power.limit,clocks.max.sm,temperature.gpu --format=csv,noheader |
      while read -r line; do row "nvidia-smi" "$line" "name, driver, power limit, clock, temperature"; done
    "$smi" | quoted
  fi
  check machine >"$said" || { cat "$said"; return 1; }
  cat "$said"
  if grep -q '^    card: ' "$said"; then sed -n 's/^    card: //p' "$said" >"$CHECK_OUT/card.json"; fi
}
part_peaks() { check peaks; }
# On the emulator CI runs all of these tests anyway.
part_kernels() { if [ $mode = card ]; then gtest 'GpuOperations.*:GpuConv3x3.*:GpuStem.*:GpuNormPool.*:*Pictures.*:GpuPeak.*:Cudnn.ConvolutionsMatchTheirReference'; else gtest 'GpuOperations.L*:GpuOperations.U*:GpuPeak.*'; fi; }
part_gradients() { if [ $mode = card ]; then gtest '*EmulatedGpu*:AheadOfResults.*:AheadEngine.*'; else gtest '*EmulatedGpu.*/d2l_resnet18*'; fi; }
part_parity() { if [ $mode = card ]; then check parity --input 2x3x64x64 --forms bf16,tf32; else check parity --forms bf16,tf32; fi; }
part_hashes() { if [ $mode = card ]; then each_form hashes bf16,tf32,f32 --steps 20; else each_form hashes bf16,tf32,f32 --steps 2; fi; }
part_layers() { each_form layers bf16,tf32,f32; }
# How the part layers ended; and whether it lists a call of cuDNN's: that there is none, and why, it says as well.
layers_were() { cat "$CHECK_WORK/layers.result" 2>/dev/null; }
# Whether cuDNN may be what it fell by, which f32 never asks: bf16 and tf32 do not both have their figures.
library_fell() {
  case $(layers_were) in FAILED|"timed out") ;; *) return 1 ;; esac
  ! { grep -q '^{"bf16":' "$CHECK_WORK/layers.log" && grep -q '^{"tf32":' "$CHECK_WORK/layers.log"; }
}
computed_by_cudnn() { grep -q 'cudnn_\(forward\|input_gradient\|weight_gradient\)_' "$CHECK_WORK/layers.log" 2>/dev/null; }
# The other candidates of convolutions that cuDNN computes, where there is one; where the part layers failed, what runs without it.
part_own() {
  [ "$(layers_were)" != passed ] || computed_by_cudnn || skip "no cuDNN computed in the part layers: it shows our own kernels"
  RESNET_CUDNN_DIR=/nowhere each_form layers bf16,tf32
}
# And those of 3x3 convolutions that our kernels compute, with the norms beside them in sweeps of their own.
part_library() {
  ! library_fell || skip "the part layers did not pass: no cuDNN from there on"
  computed_by_cudnn || skip "no cuDNN computed in the part layers"
  RESNET_CUDA_3X3=cudnn check layers --forms bf16
}

# hash_of FILE: of the steps in bf16 in the figures of hashes.
hash_of() { grep -o '"bf16":{"sha256":"[0-9a-f]*' "$1" 2>/dev/null | tail -n 1 | sed 's/.*"//'; }

# Kernels that are launched while the one before them ends.
part_overlap() {
  [ $mode = card ] || skip "the emulator has nothing to overlap"
  RESNET_CUDA_OVERLAP=1 check layers --forms bf16 || return
  RESNET_CUDA_OVERLAP=1 check hashes --forms bf16 --steps 20 >"$said" || { quoted "$said"; return 1; }
  grep '^| ' "$said"
  mine=$(hash_of "$said") other=
  library_fell || other=$(hash_of "$CHECK_WORK/hashes.log")
  row "its bits beside those of the part hashes" "$(echo "$mine" | cut -c 1-16)" \
    "$(if [ -z "$other" ]; then echo "which has not run, or not without cuDNN"; elif [ "$mine" = "$other" ]; then echo "equal bits"; else echo "OTHER BITS"; fi)"
  [ -z "$other" ] || [ "$mine" = "$other" ]
}

# The chapter's ten epochs, and what its users see.
part_train() {
  for precision in bf16 tf32; do
    begin=$(date +%s.%N)
    set --
    [ $mode = card ] || set -- --blocks 1,1 --channels 8,12 --stem-channels 8 --resize 16 --batch-size 8 --epochs 2
    "$CHECK_BIN/resnet" train --device cuda:0 --precision $precision --quiet --data "idx:$CHECK_DATA" --out "$CHECK_WORK/run-$precision" \
      "$@" >"$said" 2>&1 || { cat "$said"; return 1; }
    seconds=$(echo "$begin $(date +%s.%N)" | awk '{printf "%.1f", $2 - $1}')
    quoted "$said"
    row "the chapter's whole run, $precision" "$seconds s" "bf16: floor 15 s, goal 5 s; $CHECK_DATA_IS"
    row "its result" "$(grep '^loss ' "$said" | tail -n 1)" "$(grep 'examples/sec' "$said" | tail -n 1)"
    cp "$CHECK_WORK/run-$precision/result.json" "$CHECK_OUT/result-$precision.json"
  done
}

# rival OPTIONS...: of bench/rival_gpu.py. It ends by itself, with what it has, before the part's time does.
rival() {
  [ $mode = card ] || skip "PyTorch runs on a card"
  python=${PYTHON:-python3}
  command -v "$python" >/dev/null || skip "there is no $python"
  begin=$(date +%s)
  "$python" -c 'import torch' 2>/dev/null || skip "torch is not there for $python: no comparison (PYTHON names another)"
  left=$((begin + CHECK_LIMIT - $(date +%s)))  # the first import takes long
  "$python" -u "$here/bench/rival_gpu.py" --program "$CHECK_BIN/resnet" --seconds $((left > 25 ? left - 15 : 10)) "$@"
}
part_pytorch() { rival --model d2l_resnet18 --input 256x1x96x96 --precision bf16,tf32 --goal bf16=1.0,1.7 --goal tf32=1.0,1.5; }
part_resnet50() { rival --model resnet50 --input 256x3x224x224 --classes 1000 --precision bf16 --steps 20 --goal bf16=0.8,1.2; }

# Of our kernels alone: what cuDNN's do is NVIDIA's.
part_sanitizer() {
  [ $mode = card ] || skip "compute-sanitizer watches a card"
  sanitizer=$(found compute-sanitizer) || skip "there is no compute-sanitizer"
  worst=0
  for tool in memcheck racecheck synccheck; do
    code=0
    RESNET_CUDNN_DIR=/nowhere "$sanitizer" --tool $tool --target-processes all --error-exitcode 9 "$CHECK_BIN/device_check" hashes --small --classes 5 --input 3x1x19x22 --steps 1 \
      >"$said" 2>&1 || code=$?
    quoted "$said"
    row "$tool of a small step" "$(grep -o 'ERROR SUMMARY.*\|RACECHECK SUMMARY.*' "$said" | tail -n 1)" ""
    [ $code -eq 0 ] || worst=$code
  done
  return $worst
}

# The longest of our kernels of the step in bf16, as the part layers found them.
part_ncu() {
  [ $mode = card ] || skip "ncu profiles a card"
  ncu=$(found ncu) || skip "there is no ncu"
  kernels=$(grep -o '"longest": *\[[^]]*\]' "$CHECK_WORK/layers.log" 2>/dev/null | head -n 1 | grep -o '"[a-z0-9_]*"' | tr -d '"' | sed 1d)
  [ -n "$kernels" ] || skip "the part layers named no kernels"
  for kernel in $kernels; do  # the stem's are named after what is stored, and launched for the images as well
    "$ncu" --target-processes all --clock-control none --launch-count 3 \
      --kernel-name "regex:^$(echo "$kernel" | sed 's/^norm_train/norm_(moments|apply)/; s/^\(stem_.*\)_bf16$/\1_(bf16|f32)/')" \
      --section SpeedOfLight --section Occupancy --section LaunchStats --section ComputeWorkloadAnalysis --section MemoryWorkloadAnalysis \
      "$CHECK_BIN/device_check" profile --forms bf16 >"$said" 2>&1 || { quoted "$said"; return 1; }
    quoted "$said"
    row "ncu, $kernel" "$(sed -n 's/^ *\(Duration\|Compute (SM) Throughput\|DRAM Throughput\|L2 Cache Throughput\) *\([^ ]*\) *\([0-9.,]*\)$/\1 \3 \2/p' \
      "$said" | tr '\n' ';')" "of the peaks"
  done
}


if [ -n "$part" ]; then
  "part_$part"
  exit
fi

# ---- the run ----

if [ ! -d "$here/bin" ]; then
  pack=$(dirname "$here")/build/device-check
  "$here/device_pack.sh" $([ $mode = card ] || echo --emulator-only) --no-archive "$pack" >&2 || exit 1
  set -- --out "$out"
  [ -z "$seconds" ] || set -- "$@" --seconds "$seconds"
  [ $mode = card ] || set -- "$@" --emulate
  [ -z "$only" ] || set -- "$@" --only "$only"
  exec "$pack/device_check.sh" "$@"
fi

mkdir -p "$out" || exit 1
CHECK_OUT=$(cd "$out" && pwd)
CHECK_WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$CHECK_WORK"' EXIT
trap 'exit 130' INT TERM
CHECK_BIN=$CHECK_WORK/bin CHECK_FLAGS=
CHECK_SLOWER=1  # a processor that plays a card
[ $mode = card ] || CHECK_SLOWER=10
libraries=$here/lib
export RESNET_CUDA_PLUGIN="$here/lib/libresnet_cuda.so"
if [ $mode = emulate ]; then
  libraries=$here/emulated:$libraries
  RESNET_CUDA_PLUGIN=$here/emulated/libresnet_cuda.so
  CHECK_FLAGS="--small --classes 5 --input 2x1x17x18 --steps 1"
elif [ -z "${RESNET_CUDNN_DIR:-}" ] &&
  cudnn=$("${PYTHON:-python3}" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0] + "/lib")' 2>/dev/null); then
  export RESNET_CUDNN_DIR="$cudnn"  # PyTorch's own
fi
export CHECK_OUT CHECK_WORK CHECK_BIN CHECK_FLAGS CHECK_DATA CHECK_DATA_IS CHECK_SLOWER

# Our programs by our libraries, nobody else's: PyTorch has its own. Where the machine's C library is older, by ours too.
mkdir "$CHECK_BIN"
loader=
LD_LIBRARY_PATH=$libraries "$here/bin/resnet" --version >/dev/null 2>&1 ||
  loader="\"$here/glibc/ld-linux-x86-64.so.2\" --library-path \"$here/glibc:$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\""
for program in "$here/bin"/*; do
  cat >"$CHECK_BIN/$(basename "$program")" <<END
#!/bin/sh
LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec $loader "$program" "\$@"
END
done
chmod +x "$CHECK_BIN"/*

# be32 N: four bytes, the highest first.
be32() { for shift in 24 16 8 0; do printf "\\$(printf %03o $(($1 >> shift & 255)))"; done; }

# idx SPLIT EXAMPLES SIDE: noise in the files of MNIST's format.
idx() {
  { printf '\0\0\10\3'; be32 "$2"; be32 "$3"; be32 "$3"; head -c $(($2 * $3 * $3)) /dev/urandom; } >"$CHECK_DATA/$1-images-idx3-ubyte"
  { printf '\0\0\10\1'; be32 "$2"; LC_ALL=C tr -dc '\000-\011' </dev/urandom | head -c "$2"; } >"$CHECK_DATA/$1-labels-idx1-ubyte"
}
CHECK_DATA=$here/data CHECK_DATA_IS=Fashion-MNIST
if [ $mode = emulate ] || [ ! -d "$CHECK_DATA" ]; then
  CHECK_DATA=$CHECK_WORK/data CHECK_DATA_IS="noise: accuracies mean nothing"
  mkdir "$CHECK_DATA"
  if [ $mode = emulate ]; then idx train 16 16; idx t10k 8 16; else idx train 60000 28; idx t10k 10000 28; fi
fi

# plain TEXT: as it may stand in a cell of the table and in JSON.
plain() { printf '%s' "$1" | tr '|\n\t' '/  ' | tr -d '"\\\000-\037' | cut -c 1-300; }

passed=0 failed=0 left_out=0
end=$(($(date +%s) + ${seconds:-$((420 * CHECK_SLOWER))}))
table=$CHECK_WORK/table json=$CHECK_WORK/json version=$(cat "$here/version")
: >"$CHECK_OUT/log.txt"

# write_results [REST]: the table and the figures of the parts that have run, each file whole at any moment: whoever ends this
# script, or its machine, leaves them.
write_results() {
  summary="$passed passed, $failed failed, $left_out left out"
  {
    printf '{"version":"%s","date":"%s","on":"%s","passed":%d,"failed":%d,"left_out":%d,"parts":{' "$version" \
      "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$mode" $passed $failed $left_out
    cat "$json"
    echo '}}'
  } >"$CHECK_OUT/check.json.new"
  {
    echo "resnet.cpp $version, $(date -u +%Y-%m-%d)$([ $mode = card ] || echo ', on the emulator: its speeds mean nothing'): $summary${1:-}"
    echo
    row what figure beside
    row --- --- ---
    cat "$table"
  } >"$CHECK_OUT/table.md.new"
  mv "$CHECK_OUT/check.json.new" "$CHECK_OUT/check.json"
  mv "$CHECK_OUT/table.md.new" "$CHECK_OUT/table.md"
}

# run_part NAME SECONDS: within these seconds and what is left of the whole.
run_part() {
  case ",${only:-$1}," in *",$1,"*) ;; *) return ;; esac
  log=$CHECK_WORK/$1.log
  limit=$((end - $(date +%s)))
  [ -n "$only" ] || [ "$limit" -lt $(($2 * CHECK_SLOWER)) ] || limit=$(($2 * CHECK_SLOWER))
  echo "== $1 (at most $limit s)" >&2
  begin=$(date +%s) code=0
  if [ "$limit" -lt 1 ]; then
    echo "the time is over" >"$log"
    code=77
  else
    CHECK_LIMIT=$limit timeout -k 5 "$limit" sh "$0" $([ $mode = card ] || echo --emulate) --part "$1" >"$log" 2>&1 || code=$?
  fi
  case $code in 124|137) [ ! -s "$CHECK_WORK/$1.said" ] || quoted "$CHECK_WORK/$1.said" >>"$log" ;; esac
  took=$(($(date +%s) - begin))
  why=$(grep -v '^| \|^{\|^hint: \|^ *$' "$log" | tail -n 1)
  case $code in
    0)       result=passed why= passed=$((passed + 1)) ;;
    77)      result="left out" left_out=$((left_out + 1)) ;;
    124|137) result="timed out" why="after $limit s" failed=$((failed + 1)) ;;
    *)       result=FAILED failed=$((failed + 1)) ;;
  esac
  why=$(plain "$why")
  { row "**$1**" "**$result**, $took s" "$why"; grep '^| ' "$log"; } >>"$table"
  figures=$(sed -n 's/^{\(..*\)}$/\1/p' "$log" | paste -sd, -)  # of all its processes
  printf '%s"%s":{"result":"%s","seconds":%d,"why":"%s","figures":%s}' "${comma:-}" "$1" "$result" "$took" "$why" \
    "$([ -z "$figures" ] && echo null || printf '{%s}' "$figures")" >>"$json"
  comma=,
  { echo "== $1: $result, $took s"; cat "$log"; } >>"$CHECK_OUT/log.txt"
  echo "$result" >"$CHECK_WORK/$1.result"
  write_results ", so far"
}

# In the order of what is missed most where the time ends before the list does.
run_part machine 20
run_part peaks 20
run_part kernels 60
run_part gradients 60
run_part hashes 30
run_part layers 45
# Whatever it was: what follows shall not fall by the library that may have been it.
if library_fell; then
  export RESNET_CUDNN_DIR=/nowhere
  row "cuDNN" "left out from here on" "the part layers did not pass" >>"$table"
fi
run_part own 30
run_part library 20
run_part overlap 25
run_part train 75
run_part pytorch 150
run_part parity 40
run_part resnet50 80
run_part sanitizer 60
run_part ncu 40

write_results
cat "$CHECK_OUT/table.md"
echo
echo "$summary; the table, check.json and log.txt are in $CHECK_OUT"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
