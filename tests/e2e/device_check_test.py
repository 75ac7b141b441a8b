"""tools/device_pack.sh and tools/device_check.sh: the pack runs on the emulator, each part leaves its line, and one that
fails or takes too long is told and takes none of the others with it."""
import json
import os
import pathlib
import re
import shutil
import subprocess

from program import HERE, PROGRAM, SOURCE, TIMEOUT, put

PACK = HERE / "pack"
PARTS = ["machine", "peaks", "kernels", "gradients", "hashes", "layers", "train", "pytorch", "resnet50", "parity", "sanitizer", "ncu", "own", "library", "overlap"]
OF_A_CARD = {"own", "library", "overlap", "pytorch", "resnet50", "sanitizer", "ncu"}
os.environ.pop("OUT", None)


def pack(*arguments, code=0, root=SOURCE, build=pathlib.Path(PROGRAM).parent):
    result = subprocess.run([root / "tools" / "device_pack.sh", "--build", build, "--no-archive", *arguments],
                            capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return result


def check(out, *arguments, code=0):
    """Exit code, table and figures of a run of the pack."""
    result = subprocess.run([PACK / "device_check.sh", "--emulate", "--out", out, *arguments], capture_output=True, text=True,
                            timeout=TIMEOUT, check=False)
    log = (HERE / out / "log.txt").read_text()
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr, log)
    table = (HERE / out / "table.md").read_text()
    assert table in result.stdout  # the table comes last, whatever else was said
    return table, json.loads((HERE / out / "check.json").read_text())


# Somebody's folder stays; a pack is made anew.
(HERE / "mine").mkdir()
assert "is there and is no pack" in pack("--emulator-only", "mine", code=1).stderr
missing = pack("--data", "/nowhere", "--plugin", "nothing.so", PACK, code=1).stderr
assert "there is no plugin nothing.so" in missing and "--emulator-only" in missing, missing
old = HERE / "old.so"
old.write_text("")
os.utime(old, (1e9, 1e9))
assert "old.so is older than" in pack("--plugin", old, PACK, code=1).stderr
old.write_text("Cuda compilation tools, release 13.0, V13.0.88")
assert "needs NVIDIA's driver 580 or newer" in pack("--data", "/nowhere", "--plugin", old, PACK).stderr
stale = HERE / "stale"
for name in ("resnet", "tests/gpu_tests", "tests/device_check", "tests/fake_gpu/libresnet_cuda.so"):
    (stale / name).parent.mkdir(parents=True, exist_ok=True)
    (stale / name).write_text("")
    os.utime(stale / name, (1e9, 1e9))
assert f"{stale}/resnet is older than src/" in pack("--emulator-only", PACK, code=1, build="stale").stderr
# A kernel that is newer than the programs, of which the plugins hold it and the tests, which play a card by themselves.
tree = HERE / "tree"
for room in "device/kernels gpu engine compiler plan ops kernels train tensor".split():
    (tree / "src" / room).mkdir(parents=True)
(tree / "tools").mkdir()
shutil.copy(SOURCE / "tools" / "device_pack.sh", tree / "tools")
(tree / "src/device/kernels/pool.h").write_text("")
for name in ("tests/gpu_tests", "tests/fake_gpu/libresnet_cuda.so"):
    os.utime(stale / name)
taken = pack("--emulator-only", "other", code=1, root=tree, build=stale)  # it has no device_check.sh to put in
assert (HERE / "other" / "bin" / "resnet").exists() and "older than" not in taken.stderr, taken.stderr
for name in ("tests/fake_gpu/libresnet_cuda.so", "tests/gpu_tests"):
    os.utime(stale / name, (1e9, 1e9))
    assert f"{name} is older than src/device/kernels/pool.h" in pack("--emulator-only", "other", code=1, root=tree, build=stale).stderr
assert f"{PACK}: there, run pack/" in pack("--data", "/nowhere", "--emulator-only", f"{PACK}/").stdout
assert not (PACK / "lib" / "libresnet_cuda.so").exists()
assert sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file()) < 60 << 20

table, figures = check("all")
assert list(figures["parts"]) == PARTS, figures
for name, part in figures["parts"].items():
    assert part["result"] == ("left out" if name in OF_A_CARD else "passed"), (name, part)
    assert f"| **{name}** | **{part['result']}**, {part['seconds']} s | {part['why']} |" in table, table
assert figures["left_out"] == len(OF_A_CARD) and figures["on"] == "emulate", figures
peaks = figures["parts"]["peaks"]["figures"]
assert all(peaks[key] > 0 for key in ("copy_gbytes_per_second", "add_gbytes_per_second", "f32_tflops", "tf32_tflops", "bf16_tflops")), peaks
for form in ("bf16", "tf32", "f32"):
    assert figures["parts"]["hashes"]["figures"][form]["equal"] is True, figures["parts"]["hashes"]
    layers = figures["parts"]["layers"]["figures"][form]
    assert layers["calls"] and all(call["us"] > 0 and call["predicted_us"] > 0 for call in layers["calls"]), layers
    assert f"| step of d2l_resnet18 (small) 2x1x17x18 in {form} |" in table, table
    assert layers["timed"] == "3 under way at a time, images as bytes on the device" and layers["timed"] in table, layers
    assert f"| libraries in {form} | CUDA 13.0, driver for CUDA 13.1" in table, table
assert "| device | Emulated GPU 0, sm_90, 1 multiprocessors |  |" in table, table
assert "| cuDNN | none: the emulated device has no cuDNN |  |" in table, table
kernels = table.split("| **kernels**")[1].split("\n| **")[0]
assert "| tests passed | 4 | of 4 |" in kernels, kernels
for precision in ("bf16", "tf32"):
    assert f"| the chapter's whole run, {precision} |" in table and "examples/sec on cuda:0 |" in table, table
    assert json.loads((HERE / "all" / f"result-{precision}.json").read_text())["device"] == "cuda:0"
assert len(list((HERE / "all").iterdir())) <= 8

# A part that is broken, one that hangs, and what the time does not suffice for.
program = PACK / "bin" / "device_check"
program.rename(PACK / "device_check.real")
program.write_text(f"""#!/bin/sh
case $1 in
  machine) exec {PACK}/device_check.real "$@" ;;
  peaks) echo "device_check: the device | fell \\"off\\" the bus"; echo "hint: plug it in"; exit 1 ;;
  layers|parity) sleep 1000 ;;
esac
""")
program.chmod(0o755)
table, figures = check("broken", "--only", "machine,peaks,layers,parity,ncu", "--seconds", "12", code=1)
results = {name: (part["result"], part["why"]) for name, part in figures["parts"].items()}
assert results["machine"] == ("passed", ""), results
assert results["peaks"] == ("FAILED", "device_check: the device / fell off the bus"), results
assert results["layers"][0] == "FAILED" and results["layers"][1].startswith("f32: it does not end within "), results
assert results["parity"][0] == "timed out", results
assert results["ncu"] == ("left out", "the time is over"), results
assert table.startswith("resnet.cpp ") and "1 passed, 3 failed, 1 left out" in table, table

# Nor is a part begun for which too little is left.
table, figures = check("short", "--seconds", "5", code=1)
assert figures["passed"] == figures["failed"] == 0 and figures["parts"]["machine"]["why"].endswith(" s are left, too few"), figures

# Without cuDNN, which failed: what follows the part layers does not ask for it.
program.write_text("""#!/bin/sh
[ "$RESNET_CUDNN_DIR" = /nowhere ] || { echo "device_check: cuda:0 failed while computing a convolution by cuDNN" >&2; exit 1; }
case "$*" in *"--forms "*) form=${*##*--forms } ;; *) form=all ;; esac
echo "| $1 in $form | 1 | |"
printf '{"%s":1}\\n' "$form"
""")
table, figures = check("library", "--only", "layers,own,library,parity", code=1)
results = {name: (part["result"], part["why"]) for name, part in figures["parts"].items()}
assert results["layers"] == ("FAILED", "f32: device_check: cuda:0 failed while computing a convolution by cuDNN"), results
assert table.count("| cuDNN | left out from here on | the part layers did not pass |") == 1, table
assert results["own"] == ("passed", "") and figures["parts"]["own"]["figures"] == {"bf16": 1, "tf32": 1}, figures
assert results["library"] == ("left out", "cuDNN was left out"), results
assert results["parity"][0] == "passed", results

# Nor where its convolutions are wrong, which the part kernels finds.
tests = PACK / "bin" / "gpu_tests"
tests.rename(PACK / "gpu_tests.real")
tests.write_text("""#!/bin/sh
case "$*" in
  *list*) printf 'Cudnn.\\n  ConvolutionsMatchTheirReference\\n' ;;
  *) exit 1 ;;
esac
""")
tests.chmod(0o755)
table, figures = check("wrong", "--only", "kernels,parity", code=1)
assert table.count("| cuDNN | left out from here on | the part kernels did not pass |") == 1, table
assert figures["parts"]["parity"]["result"] == "passed", figures
(PACK / "gpu_tests.real").rename(tests)

# A form that fails takes none of the others with it, and its error is told last.
program.write_text("""#!/bin/sh
case "$*" in *tf32*) echo "device_check: tf32 fell off the bus" >&2; exit 1 ;; esac
printf '{"%s":1}\\n' "${*##*--forms }"
""")
table, figures = check("forms", "--only", "layers", code=1)
assert figures["parts"]["layers"]["figures"] == {"bf16": 1, "f32": 1}, figures
assert figures["parts"]["layers"]["why"] == "tf32: device_check: tf32 fell off the bus", figures

# Where it is f32 alone, which never asks for cuDNN, that stays.
program.write_text("""#!/bin/sh
case "$*" in *"--forms f32"*) echo "device_check: f32 fell" >&2; exit 1 ;; esac
case "$*" in "parity "*tf32*) ;; *) [ "${RESNET_CUDNN_DIR:-}" != /nowhere ] || exit 1 ;; esac
printf '{"%s":1}\\n' "${*##*--forms }"
""")
table, figures = check("exact", "--only", "layers,parity", code=1)
assert figures["parts"]["parity"]["result"] == "passed" and "left out from here on" not in table, table


# Parts of a card, by themselves, with tools that say what they were asked.
def run_part(name, limit=60, **more):
    work = HERE / f"part-{name}"
    environment = os.environ | {"CHECK_WORK": str(work), "CHECK_BIN": str(work / "bin"), "CHECK_OUT": str(work), "CHECK_FLAGS": "",
                                "CHECK_LIMIT": str(limit), "CHECK_SLOWER": "1", "CHECK_STEPS": "", "PYTHON": "python3", "PATH": f"{HERE / 'tools'}:{os.environ['PATH']}"} | more
    return subprocess.run(["sh", PACK / "device_check.sh", "--part", name], env=environment, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)


def put_script(path, text):
    put(path, f"#!/bin/sh\n{text}".encode())
    (HERE / path).chmod(0o755)


def profiled(kernel, ns):
    return f"""  {kernel}(Args) (64, 1, 1)x(256, 1, 1), Context 1, Stream 7, Device 0, CC 9.0
    Section: GPU Speed Of Light Throughput
    Metric Name             Metric Unit Metric Value
    Duration                         ns     {ns:,.2f}
    DRAM Throughput                   %        71.30
"""


put_script("tools/ncu", f"echo \"$@\"\ncat <<'END'\n{profiled('stem_forward_f32', 5300)}{profiled('stem_forward_f32', 4100)}{profiled('norm_apply', 700)}END\n")
put("part-ncu/layers.log", b'{"bf16":{"longest":["stem_forward_bf16","conv3x3_forward_bf16","norm_train"]}}\n')
said = run_part("ncu").stdout
pattern = re.search(r"regex:(\S+)", said).group(1)
assert all(re.search(pattern, name) for name in ("stem_forward_f32_kernel", "conv3x3_forward_bf16", "norm_pool_moments", "norm_apply")), pattern
assert not re.search(pattern, "stem_weight_gradient_bf16"), pattern
assert re.findall(r"^\| .*", said, re.M) == ["| ncu, norm_apply | 0.7 us | DRAM Throughput 71.30;  |", "| ncu, stem_forward_f32 | 5.3 us | DRAM Throughput 71.30;  |"], said
put_script("tools/ncu", "echo No kernels were profiled\n")
none = run_part("ncu")
assert none.returncode == 1 and none.stdout.endswith("ncu profiled no kernel\n"), none.stdout
put_script("tools/compute-sanitizer", 'echo "dir=$RESNET_CUDNN_DIR $*"\n[ $2 = synccheck ] || echo "========= ERROR SUMMARY: 0 errors"\n')
put("part-sanitizer/layers.log", b"")
watched = run_part("sanitizer")
said = watched.stdout
assert said.count("dir=/nowhere --tool") == 3 and said.count("--target-processes all") == 3, said
assert "| memcheck of a small step | ERROR SUMMARY: 0 errors |" in said and said.endswith("synccheck ends with 1\n"), said
assert watched.returncode == 1, "a tool that tells nothing has not passed"
put_script("tools/slow", 'case $1 in -c) sleep 4 ;; *) echo "$@" ;; esac\n')
put("part-pytorch/layers.log", b"")
said = run_part("pytorch", PYTHON=str(HERE / "tools" / "slow")).stdout
assert 30 < int(said.split("--seconds ")[1].split()[0]) <= 41, said
put_script("part-hashes/bin/device_check", 'case "$*" in *bf16*) sleep 1000 ;; esac; echo "{\\"$3\\":1}"\n')
said = run_part("hashes", 12).stdout
assert '"tf32":1' in said and '"f32":1' in said and re.search(r"bf16: it does not end within [56] s", said), said
put_script("part-overlap/bin/device_check", "echo '{\"bf16\":{\"sha256\":\"aa\"}}'\n")
put("part-overlap/hashes.log", b'{"bf16":{"sha256":"bb"}}\n')
put("part-overlap/layers.log", b'{"bf16":1}\n{"tf32":1}\n')
put("part-overlap/layers.result", b"FAILED\n")
assert run_part("overlap").returncode == 1, "other bits by the same kernels"
put("part-overlap/layers.log", b"tf32: device_check: fell\n")
assert run_part("overlap").returncode == 0, "other kernels since cuDNN was left out"

# Whoever ends the script in its second part has what the first one told.
program.write_text("#!/bin/sh\n[ $1 = machine ] || sleep 20\n")
running = subprocess.Popen([PACK / "device_check.sh", "--emulate", "--out", "killed", "--only", "machine,peaks", "--seconds", "30"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(HERE)})
for line in running.stderr:
    if line.startswith("== peaks"):
        break
running.kill()
running.wait()
figures = json.loads((HERE / "killed" / "check.json").read_text())
assert figures["parts"]["machine"]["result"] == "passed" and list(figures["parts"]) == ["machine"], figures
table = (HERE / "killed" / "table.md").read_text()
assert "| **machine** | **passed**" in table and ", so far" in table.splitlines()[0], table
assert {path.name for path in (HERE / "killed").iterdir()} == {"check.json", "table.md", "log.txt"}

# Behind a test that fails all others do in its process; one that hangs ends. Each by itself tells which it was.
tests = PACK / "bin" / "gpu_tests"
tests.unlink()
tests.write_text("""#!/bin/sh
case "$*" in
  *list_tests*) printf 'Running main() from gtest_main.cc\nGpuPeak.\n  Good\n  Bad\n  Other\n  Hangs/0  # GetParam() = 1\n'; exit ;;
  *:*) echo '[       OK ] GpuPeak.Good (1 ms)'; echo '[  FAILED  ] GpuPeak.Bad (1 ms)'; echo '[  FAILED  ] GpuPeak.Other (1 ms)'; exit 1 ;;
  *Other*) exit 0 ;;
  *Hangs*) sleep 1000 ;;
esac
exit 1
""")
tests.chmod(0o755)
table, figures = check("apart", "--only", "kernels", "--seconds", "15", code=1)
part = figures["parts"]["kernels"]
assert part["result"] == "FAILED", figures
assert "GpuPeak.Bad (fails by itself)" in part["why"] and "GpuPeak.Hangs/0 (does not end within" in part["why"], part
assert "GpuPeak.Good" not in part["why"] and "GpuPeak.Other" not in part["why"], part
assert "| GpuPeak.Bad | FAILED | fails by itself |" in table and "| tests passed | 2 | of 4; together" in table, table

# The tests of a part that hangs are in the log, to where they came.
tests.write_text("#!/bin/sh\necho '[ RUN      ] GpuPeak.Hangs'\nsleep 1000\n")
table, figures = check("hangs", "--only", "kernels", "--seconds", "3", code=1)
assert figures["parts"]["kernels"]["result"] == "timed out", figures
assert "[ RUN      ] GpuPeak.Hangs" in (HERE / "hangs" / "log.txt").read_text()
print("the pack runs, and tells what does not")
