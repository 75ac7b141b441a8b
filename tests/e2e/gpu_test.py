#!/usr/bin/env python3
"""The choice of a device by the whole program, with a driver that is none and the emulated device as a plugin: runs on a GPU
from beginning to end, interrupted, resumed, and with a device that fails; and a line of what and a line of hint for whatever is
missing."""
import json
import os
import re
import shutil

from program import HERE, put, put_noise, result_of, run
from weight_files import safetensors

FAKED = os.environ["RESNET_FAKE_GPU_DIR"]


def on(faults="", plugin=f"{FAKED}/libresnet_cuda.so", driver=FAKED):
    """The environment of a machine with faked GPUs, with what is wrong with them."""
    return {"env": {**os.environ, "LD_LIBRARY_PATH": str(driver), "RESNET_CUDA_PLUGIN": plugin, "RESNET_FAKE_PLUGIN": faults}}


put("no_driver/libcuda.so.1", b"")  # in front of a machine's own
NO_DRIVER = on(driver=HERE / "no_driver")

put_noise("own", 8)
RUN = ["train", "--data", "idx:own", "--resize", "16", "--model", "resnet18", "--channels", "8,12", "--blocks", "1,1",
       "--batch-size", "4", "--epochs", "2", "--momentum", "0.9"]


def trained(out, *flags, says="", **where):
    run(*RUN, *flags, "--out", out, says=says, **(where or on()))
    return result_of(out)


# The same bits in two runs, on another card, with other threads.
whole = trained("whole", "--device", "cuda", says="device: cuda:0 (Emulated GPU 0)\n")
assert whole["device"] == "cuda:0" and whole["device_name"] == "Emulated GPU 0" and whole["isa"] == "sm_90", whole
assert "CUDA 13.0, driver for CUDA 13.1" in whole["libraries"] and whole["cpu_model"] != whole["device_name"], whole
assert re.fullmatch("[0-9a-f]{64}", whole["plan_sha256"]), whole
automatic = trained("automatic", "--threads", "1", says="device: cuda:1 (Emulated GPU 1)\n", **on("devices=2,busy=0"))
assert automatic["device"] == "cuda:1" and automatic["weights_sha256"] == whole["weights_sha256"] and automatic["plan_sha256"] == whole["plan_sha256"], (automatic, whole)
result = run(*RUN, "--device", "cuda", "--precision", "tf32", "--steps", "1", "--quiet", "--out", "tf32", **on())
assert result.stdout.endswith(" examples/sec on cuda:0\n") and "device:" not in result.stderr, result
assert "precision = 'tf32'" in (HERE / "tf32/config.toml").read_text()

# Interrupted and resumed, also on another card.
trained("half", "--device", "cuda", "--steps", "3", "--checkpoint-every", "1")
for name in ("other", "driver"):
    shutil.copytree("half", name)
run("train", "--resume", "half", "--steps", "0", "--device", "cuda:1", **on("devices=2"))
assert result_of("half")["weights_sha256"] == whole["weights_sha256"] and result_of("half")["device"] == "cuda:1"
run("train", "--resume", "driver", "--steps", "0", says="driver for CUDA 13.0: last bits may differ", **on("driver=13000"))
for where, says in ((on("architecture=80"), "has the architecture sm_90, this one sm_80"), (NO_DRIVER, "has device cuda, this one cpu")):
    before = sorted(path.name for path in (HERE / "other/checkpoints").iterdir())
    run("train", "--resume", "other", "--steps", "0", "--device", "auto", "--quiet", code=2, says=says, **where)
    assert sorted(path.name for path in (HERE / "other/checkpoints").iterdir()) == before

# cuDNN is told by its version; without it a run goes on that had it, and says so.
library = trained("library", "--device", "cuda", "--precision", "bf16", "--steps", "3", "--checkpoint-every", "1", **on("cudnn=91500"))
assert library["libraries"].endswith(", cuDNN 9.15.0"), library
run("train", "--resume", "library", "--steps", "0", says="last bits may differ", **on())
assert "cuDNN" not in result_of("library")["libraries"]

# Where it fails in the warm-up that is told, and not what was tried after it.
run(*RUN, "--epochs", "12", "--device", "cuda", "--out", "warm", code=1, says="cuda:0 failed while computing: the GPU has fallen", **on("lost=0"))

# A device that fails in the third step, the third graph (the first step and the first batch of an evaluation are in none), leaves the checkpoints before it, and no model.
result = run(*RUN, "--device", "cuda", "--quiet", "--checkpoint-every", "1", "--out", "lost", code=1, **on("lost=2"))
assert result.stderr == ("resnet: cuda:0 failed while computing: the GPU has fallen off the bus (cudaErrorUnknown)\n"
                         "hint: resnet train --resume lost goes on from step-000000002.safetensors\n"), result.stderr
assert not (HERE / "lost/model.safetensors").exists() and not (HERE / "lost/result.json").exists()
by_itself = run(*RUN, "--quiet", "--checkpoint-every", "1", "--out", "by_itself", code=1, **on("lost=2"))  # nor does it go on elsewhere
assert by_itself.stderr == result.stderr.replace("--resume lost", "--resume by_itself"), by_itself.stderr
run("train", "--resume", "lost", "--quiet", **on())
assert result_of("lost")["weights_sha256"] == whole["weights_sha256"]
# Two steps are under way before the first result is known: it fails in the evaluation behind them.
run(*RUN, "--device", "cuda", "--quiet", "--out", "early", code=1, says="hint: there was no checkpoint yet: --checkpoint-every", **on("lost=1"))

# By itself it takes what there is and says why; answers are the same to rounding.
accuracy = json.loads(run("eval", "whole", "--json", "--device", "cuda", **on()).stdout)["test_acc"]
assert accuracy == whole["test_acc"], (accuracy, whole)
for where, reason in ((on(plugin="/nowhere.so"), "no plugin for GPUs"),
                      (on("kernels"), "the plugin for GPUs has other kernels than this program"),
                      (on("none"), "there is no GPU: no CUDA-capable device is detected (cudaErrorNoDevice)"),
                      (on("memory=20000"), "cuda:0 has 0.01")):
    run("eval", "whole", "--batch-size", "4", "--device", "auto", says=f"device: cpu ({reason}", **where)
run("eval", "whole", "--isa", "avx2", says="device: cpu (--isa names an instruction set of the processor)\n", **on())
assert "device" not in run("eval", "whole", "--device", "cpu", **on()).stderr
assert "device" not in run("eval", "whole", **NO_DRIVER).stderr  # a machine without GPUs: said in training alone
run(*RUN, "--out", "plain", says="device: cpu (no NVIDIA driver)\n", **NO_DRIVER)
assert trained("small", "--steps", "1", says=" MiB of memory left, and work on images [4,1,16,16] needs ",
               **on("memory=50000"))["device"] == "cpu"

# Whatever answers says on what, also where a network is laid beside another program's and in a report.
put("zeros.safetensors", safetensors({"input": ("F32", [1, 1, 16, 16], bytes(4 * 256)), "output": ("F32", [1, 10], bytes(4 * 10))}))
for command in (("report", "whole", "--out", "whole.html"), ("compare", "whole", "zeros.safetensors")):
    code = 1 if command[0] == "compare" else 0  # no network answers with zeros
    run(*command, code=code, says="device: cuda:0 (Emulated GPU 0)\n", **on())
    assert "device" not in run(*command, code=code, **NO_DRIVER).stderr, command

# A device that was named is taken, or missed in two lines, before there is a folder.
for device, where, code, says, hint in (
        ("cuda", NO_DRIVER, 2, "--device cuda: no NVIDIA driver (", "compute on the CPU"),
        ("cuda", on(plugin="/nowhere.so"), 2, "--device cuda: no plugin for GPUs (/nowhere.so: ", "RESNET_CUDA_PLUGIN"),
        ("cuda", on("version"), 2, "the plugin for GPUs is of another version than this program", "build both of one source"),
        ("cuda", on("kernels"), 2, "the plugin for GPUs has other kernels than this program", "build both of one source"),
        ("cuda", on("old-driver"), 2, "NVIDIA's driver is too old", "install a newer driver"),
        ("cuda", on("none"), 2, "there is no GPU: ", "CUDA_VISIBLE_DEVICES"),
        ("cuda:3", on("devices=2"), 2, "there is no device cuda:3", "use cuda:0 to cuda:1"),
        ("cuda:1", on(), 2, "there is no device cuda:1", "cuda:0 is the only one"),
        ("cuda", on("architecture=75"), 2, "(Emulated GPU 0) has compute capability 7.5", "Ampere"),
        ("cuda", on("busy=0"), 1, "cuda:0 is busy: all CUDA-capable devices are busy", "nvidia-smi"),
        ("cuda", on("memory=50000"), 1, "more of the memory of cuda:0, of which 0.04", "no batch is small enough"),
        ("cuda:sm_90", on(), 2, "--device cannot be 'cuda:sm_90'", "architecture"),
        ("gpu", on(), 2, "--device cannot be 'gpu'", "cuda:0")):
    result = run(*RUN, "--device", device, "--quiet", "--out", "never", code=code, **where)
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("resnet: ") and lines[1].startswith("hint: "), result.stderr
    assert says in lines[0] and hint in lines[1] and max(map(len, lines)) <= 300, result.stderr
    assert not (HERE / "never").exists(), device
run(*RUN, "--device", "auto", "--precision", "tf32", "--out", "never", code=2,
    says="--precision tf32 is of GPUs alone: no NVIDIA driver", **NO_DRIVER)

# Each kernel of a step; plans of an architecture that need not be there.
small = ["--model", "resnet18", "--channels", "8,12", "--blocks", "1,1", "--input", "2x1x16x16"]
bench = json.loads(run("bench", "train", *small, "--steps", "1", "--device", "cuda", "--layers", "--json", **on()).stdout)
assert bench["device"] == "cuda:0" and bench["peak_gflops"] > 0 and bench["memory_gbytes_per_second"] > 0 and bench["calls"], bench
table = run("bench", "train", *small, "--steps", "1", "--layers", says="device: cuda:0", **on()).stdout
assert "of peak" in table and "gemm_forward_f32" in table and "nan" not in table, table
assert "CUDA 13.0" in bench["libraries"] and isinstance(bench["note"], str), bench
rate = run("bench", "infer", *small, "--steps", "1", "--device", "cuda", "--check", **on()).stdout
assert ", cuda:0, sm_90\n" in rate and "nan" not in rate, rate
plan = run("plan", *small, "--device", "cuda:sm_90", **NO_DRIVER).stdout
assert plan == run("plan", *small, "--device", "cuda", **on()).stdout == run("plan", *small, "--device", "auto", **on()).stdout
run("plan", *small, "--device", "cuda", code=2, says="no NVIDIA driver", **NO_DRIVER)
for architecture, cudnn in (("sm_90", True), ("sm_120", True), ("sm_110", False)):  # for which there is no table
    of_it = run("plan", "--blocks", "1,1", "--channels", "64,128", "--input", "2x1x32x32", "--device", f"cuda:{architecture}", "--precision", "bf16", says="note: as with a cuDNN", **NO_DRIVER).stdout
    assert ("cudnn_forward_bf16" in of_it) == cudnn, of_it
assert "gemm_forward_f32" in plan and "gemm_forward_f32" not in run("plan", *small, **on()).stdout
