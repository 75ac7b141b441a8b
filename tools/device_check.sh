#!/bin/sh
# All that only a GPU can tell, in at most seven minutes, with one table last (docs/gpu-check.md). Each part has its own
# time limit, longer where there is more time in all; one that fails leaves its line, and the rest goes on. The exit code is 1
# if any part failed.
#
# Usage: device_check.sh [--emulate] [--out DIR] [--seconds N] [--only PART,...]
#   --emulate   on the emulator, in small sizes: tries this script on a machine without a GPU
#   --out DIR   table.md, check.json, log.txt and what the training left; default $OUT, else device-check-results
#   --seconds N when to end: parts that are left then are not run; default 420, with --emulate ten times as long
#   --only ...  these parts alone, each with all of the time that is left: machine, peaks, kernels, gradients, hashes,
#               layers, train, pytorch, resnet50, parity, sanitizer, ncu, own, library, overlap
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
# tf32 by our own kernels: cuDNN may cut where the reference rounds, which the tests of its convolutions allow for.
part_parity() {
  size=
  [ $mode = emulate ] || size="--input 2x3x64x64"
  check parity $size --forms bf16 && RESNET_CUDNN_DIR=/nowhere check parity $size --forms tf32
}
part_hashes() { if [ $mode = card ]; then each_form hashes bf16,tf32,f32 --steps 20; else each_form hashes bf16,tf32,f32 --steps 2; fi; }
# Of a card so many steps that a moment's delay is nothing beside them; how many, CHECK_STEPS says.
part_layers() { each_form layers bf16,tf32,f32 $CHECK_STEPS; }
# How the part layers ended; and whether it lists a call of cuDNN's: that there is none, and why, it says as well.
layers_were() { cat "$CHECK_WORK/layers.result" 2>/dev/null; }
# Whether cuDNN computed wrongly in the part kernels; or may be what the part layers fell by, which f32 never asks: bf16 and tf32 do not
# both have their figures.
library_fell() {
  ! grep -q '^| Cudnn\.[^ ]* | FAILED' "$CHECK_WORK/kernels.log" 2>/dev/null || return 0
  case $(layers_were) in FAILED|"timed out") ;; *) return 1 ;; esac
  ! { grep -q '^{"bf16":' "$CHECK_WORK/layers.log" && grep -q '^{"tf32":' "$CHECK_WORK/layers.log"; }
}
computed_by_cudnn() { grep -q 'cudnn_\(forward\|input_gradient\|weight_gradient\)_' "$CHECK_WORK/layers.log" 2>/dev/null; }
# The other candidates of convolutions that cuDNN computes, where there is one; where the part layers failed, what runs without it.
part_own() {
  [ "$(layers_were)" != passed ] || computed_by_cudnn || skip "no cuDNN computed in the part layers: it shows our own kernels"
  RESNET_CUDNN_DIR=/nowhere each_form layers bf16,tf32 $CHECK_STEPS
}
# And those of 3x3 convolutions that our kernels compute, with the norms beside them in sweeps of their own.
part_library() {
  ! library_fell || skip "cuDNN was left out"
  computed_by_cudnn || skip "no cuDNN computed in the part layers"
  RESNET_CUDA_3X3=cudnn check layers --forms bf16 $CHECK_STEPS
}

# hash_of FILE: of the steps in bf16 in the figures of hashes.
hash_of() { grep -o '"bf16":{"sha256":"[0-9a-f]*' "$1" 2>/dev/null | tail -n 1 | sed 's/.*"//'; }

# Kernels that are launched while the one before them ends.
part_overlap() {
  [ $mode = card ] || skip "the emulator has nothing to overlap"
  RESNET_CUDA_OVERLAP=1 check layers --forms bf16 $CHECK_STEPS || return
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
    timeout -k 2 $((CHECK_LIMIT > 4 ? CHECK_LIMIT / 2 : 2)) "$CHECK_BIN/resnet" train --device cuda:0 --precision $precision --quiet \
      --data "idx:$CHECK_DATA" --out "$CHECK_WORK/run-$precision" "$@" >"$said" 2>&1 || { echo "in $precision:"; cat "$said"; return 1; }
    seconds=$(echo "$begin $(date +%s.%N)" | awk '{printf "%.1f", $2 - $1}')
    quoted "$said"
    row "the chapter's whole run, $precision" "$seconds s" "bf16: floor 15 s, goal 5 s; $CHECK_DATA_IS"
    row "its result" "$(grep '^loss ' "$said" | tail -n 1)" "$(grep 'examples/sec' "$said" | tail -n 1)"
    cp "$CHECK_WORK/run-$precision/result.json" "$CHECK_OUT/result-$precision.json"
    # Of 80 runs of the chapter's the worst has 0.814.
    [ "$CHECK_DATA_IS" != Fashion-MNIST ] || grep '^loss ' "$said" | tail -n 1 | awk '!($NF > 0.8) { exit 1 }' ||
      { echo "$precision did not learn: $(grep '^loss ' "$said" | tail -n 1)"; return 1; }
  done
}

# rival OPTIONS...: of bench/rival_gpu.py. It ends by itself, with what it has, before the part's time does.
rival() {
  [ $mode = card ] || skip "PyTorch runs on a card"
  command -v "$PYTHON" >/dev/null || skip "there is no $PYTHON"
  begin=$(date +%s)
  "$PYTHON" -c 'import torch' 2>/dev/null || skip "torch is not there for $PYTHON: no comparison (PYTHON names another)"
  left=$((begin + CHECK_LIMIT - $(date +%s)))  # the first import takes long
  "$PYTHON" -u "$here/bench/rival_gpu.py" --program "$CHECK_BIN/resnet" --seconds $((left > 25 ? left - 15 : 10)) "$@"
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
    RESNET_CUDNN_DIR=/nowhere timeout -k 2 $((CHECK_LIMIT > 6 ? CHECK_LIMIT / 3 : 2)) "$sanitizer" --tool $tool --target-processes all \
      --error-exitcode 9 "$CHECK_BIN/device_check" hashes --small --classes 5 --input 3x1x19x22 --steps 1 >"$said" 2>&1 || code=$?
    quoted "$said"
    summary=$(grep -o 'ERROR SUMMARY.*\|RACECHECK SUMMARY.*' "$said" | tail -n 1)
    row "$tool of a small step" "${summary:-no summary}" ""
    [ $code -ne 0 ] || [ -n "$summary" ] || code=1
    if [ $code -ne 0 ]; then echo "$tool ends with $code" && worst=1; fi
  done
  return $worst
}

# Our kernels of the step's longest calls in bf16, as the part layers found them: of each the launch that takes longest.
part_ncu() {
  [ $mode = card ] || skip "ncu profiles a card"
  ncu=$(found ncu) || skip "there is no ncu"
  # The stem's are named after what is stored, and launched for the images as well; the norm in front of a pool has names of its own.
  kernels=$(grep -o '"longest": *\[[^]]*\]' "$CHECK_WORK/layers.log" 2>/dev/null | head -n 1 | grep -o '"[a-z0-9_]*"' | tr -d '"' | sed 1d |
    sed 's/^norm_train/norm_(pool_)?(moments|apply)/; s/^\(stem_.*\)_bf16$/\1_(bf16|f32)/' | paste -sd '|' -)
  [ -n "$kernels" ] || skip "the part layers named no kernels"
  "$ncu" --target-processes all --clock-control none --launch-count 60 --print-units base --print-kernel-base function --kernel-name "regex:^($kernels)" \
    --section SpeedOfLight --section Occupancy --section LaunchStats --section ComputeWorkloadAnalysis --section MemoryWorkloadAnalysis \
    "$CHECK_BIN/device_check" profile --forms bf16 >"$said" 2>&1 || { quoted "$said"; return 1; }
  quoted "$said"
  awk '
    function keep() { if (ns > 0 && ns > longest[kernel]) { longest[kernel] = ns; told[kernel] = text } }
    / Context [0-9]+, Stream / { keep(); kernel = $1; sub(/\(.*/, "", kernel); ns = 0; text = ""; next }
    /^ *(Duration|Compute \(SM\) Throughput|DRAM Throughput|L2 Cache Throughput|Registers Per Thread|Achieved Occupancy) / {
      value = $NF; gsub(",", "", value); name = $0; sub(/^ */, "", name); sub(/  .*/, "", name)
      if (name == "Duration") ns = value + 0; else text = text name " " value "; "
    }
    END { keep(); for (k in longest) printf "| ncu, %s | %.1f us | %s |\n", k, longest[k] / 1e3, told[k] }' "$said" | sort | grep . ||
    { echo "ncu profiled no kernel"; return 1; }
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
watching= preparing=
trap 'kill $watching $preparing 2>/dev/null; rm -rf "$CHECK_WORK"' EXIT
trap 'exit 130' INT TERM
CHECK_BIN=$CHECK_WORK/bin CHECK_FLAGS= CHECK_STEPS="--steps 100" PYTHON=${PYTHON:-python3}
CHECK_SLOWER=1  # a processor that plays a card
[ $mode = card ] || CHECK_SLOWER=10
libraries=$here/lib
export RESNET_CUDA_PLUGIN="$here/lib/libresnet_cuda.so"
if [ $mode = emulate ]; then
  libraries=$here/emulated:$libraries
  RESNET_CUDA_PLUGIN=$here/emulated/libresnet_cuda.so
  CHECK_FLAGS="--small --classes 5 --input 2x1x17x18 --steps 1" CHECK_STEPS=
elif [ -z "${RESNET_CUDNN_DIR:-}" ] &&
  cudnn=$("$PYTHON" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0] + "/lib")' 2>/dev/null); then
  export RESNET_CUDNN_DIR="$cudnn"  # PyTorch's own
fi
export CHECK_OUT CHECK_WORK CHECK_BIN CHECK_FLAGS CHECK_STEPS CHECK_DATA CHECK_DATA_IS CHECK_SLOWER PYTHON

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
whole=${seconds:-$((420 * CHECK_SLOWER))}
end=$(($(date +%s) + whole))
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
  mv "$CHECK_OUT/check.json.new" "$CHECK_OUT/check.json"
  {
    echo "resnet.cpp $version, $(date -u +%Y-%m-%d)$([ $mode = card ] || echo ', on the emulator: its speeds mean nothing'): $summary${1:-}"
    echo
    row what figure beside
    row --- --- ---
    cat "$table"
  } >"$CHECK_OUT/table.md.new"
  mv "$CHECK_OUT/table.md.new" "$CHECK_OUT/table.md"
}

# run_part NAME SECONDS: within these seconds and what is left of the whole; more, where the whole has more than seven minutes.
run_part() {
  case ",${only:-$1}," in *",$1,"*) ;; *) return ;; esac
  log=$CHECK_WORK/$1.log
  limit=$((end - $(date +%s))) own=$(($2 * (whole > 420 ? whole : 420) / 420)) least=1
  [ -n "$only" ] || least=$((own / 3))
  [ -n "$only" ] || [ "$limit" -lt "$own" ] || limit=$own
  echo "== $1 (at most $limit s)" >&2
  begin=$(date +%s) code=0
  if [ "$limit" -lt 1 ]; then
    echo "the time is over" >"$log"
    code=77
  elif [ "$limit" -lt "$least" ]; then
    echo "$limit s are left, too few" >"$log"
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
  last=$1
  write_results ", so far"
}

# What follows shall not fall by cuDNN, where that has computed wrongly or may be what a part fell by.
leave_library_out() {
  [ "${RESNET_CUDNN_DIR:-}" != /nowhere ] && library_fell || return
  export RESNET_CUDNN_DIR=/nowhere
  row "cuDNN" "left out from here on" "the part $last did not pass" >>"$table"
}

# Beside the rest, where there is a card: how fast its clocks run, and what keeps the driver awake between our processes.
if [ $mode = card ] && smi=$(found nvidia-smi); then
  "$smi" dmon -d 2 -s puc >"$CHECK_OUT/clocks.txt" 2>/dev/null &
  watching=$!
fi
# PyTorch's compilers have the time of the parts that measure none; their caches keep what they find.
prepare_rival() {
  case $mode,${only:-pytorch} in card,*pytorch*) command -v "$PYTHON" >/dev/null || return ;; *) return ;; esac
  timeout "$whole" "$PYTHON" "$here/bench/rival_gpu.py" --prepare --precision bf16,tf32 >"$CHECK_WORK/prepare.said" 2>&1 &
  preparing=$!
}
end_of_preparing() {
  [ -n "$preparing" ] || return
  kill "$preparing" 2>/dev/null
  wait "$preparing" 2>/dev/null
  { echo "== PyTorch's compilers, beforehand"; quoted "$CHECK_WORK/prepare.said"; } >>"$CHECK_OUT/log.txt"
  preparing=
}

# In the order of what is missed most where the time ends before the list does; those that measure no time first.
run_part machine 20
run_part peaks 20
prepare_rival
run_part kernels 60
leave_library_out
run_part gradients 60
run_part hashes 45
end_of_preparing
run_part layers 45
leave_library_out
run_part train 75
run_part pytorch 150
run_part resnet50 80
run_part parity 40
run_part sanitizer 60
run_part ncu 60
run_part own 30
run_part library 20
run_part overlap 25

write_results
cat "$CHECK_OUT/table.md"
echo
echo "once more, in short:"
grep '^| \*\*\|^| ours ÷\|whole run\|^| step of' "$table"
echo
echo "$summary; the table, check.json and log.txt are in $CHECK_OUT"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
