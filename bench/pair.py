#!/usr/bin/env python3
"""Speed against the newest PyTorch or OpenVINO, in alternating pairs of one run.

    bench/pair.py train                                   the chapter's step against PyTorch's best form
    bench/pair.py infer --against openvino                evaluation against OpenVINO
    bench/pair.py train --model resnet50 --input 16x3x224x224 --classes 1000
    bench/pair.py train --against ../old/resnet --rounds 9   two builds of our own program
    bench/pair.py loader                                  one loader thread against Pillow and torchvision in one worker

Installs the rivals from PyPI into .venv-rivals (once), then runs `resnet bench` and the same network in the
rival (the same batch, threads and precision) in turn, and prints the ratio of each pair and the median ratio.
`--against best` first tries PyTorch's forms (eager, channels_last, compile) once each and takes the fastest;
--isa avx2 holds both sides to AVX2. The exit code is 1 if the median is below --least.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import loader
from environment import ROOT, python_with

os.environ["RESNET_CUDA_PLUGIN"] = "none"  # the CPU's figures, also where there is a GPU

FORMS = ("eager", "channels_last", "compile")


# What the rivals need for their best: huge pages, as we ask for them, and weights folded for evaluation.
RIVAL_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
                     "TORCHINDUCTOR_FREEZING": "1"}


class Failed(Exception):
    """A measurement that did not work."""


def measure(command, environment=None):
    command = [str(part) for part in command]
    result = subprocess.run(command, capture_output=True, text=True, check=False,
                            env={**os.environ, **(environment or {})})
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("train", "infer", "loader"))
    parser.add_argument("--against", default="best", metavar="RIVAL",
                        help=f"best, {', '.join(FORMS)} (of PyTorch), openvino, or the path of another build's program; of loader: torchvision or such a path")
    parser.add_argument("--pictures", metavar="DIR", help="of loader: a folder of pictures, instead of some that it makes")
    parser.add_argument("--model", default="d2l_resnet18")
    parser.add_argument("--stem", choices=("large", "small"), default="large", help="small: 3x3 and no pool, for small images")
    parser.add_argument("--input", default="256x1x96x96", help="images x channels x height x width")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of both sides; bf16 is autocast there")
    parser.add_argument("--program", default=ROOT / "build" / "release" / "resnet")
    parser.add_argument("--python", help="an interpreter that has the rivals, instead of .venv-rivals")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of both sides; otherwise what resnet chooses")
    parser.add_argument("--isa", choices=("avx2",), help="hold both sides to this instruction set")
    parser.add_argument("--least", type=float, default=1.0, help="median ratio below which the exit code is 1")
    options = parser.parse_args()
    another_build = os.sep in options.against
    if options.work != "loader" and not another_build and options.against not in ("best", *FORMS, "openvino"):
        parser.error(f"--against cannot be '{options.against}': give best, {', '.join(FORMS)}, openvino or a program's path")
    if options.against == "openvino" and options.work == "train":
        parser.error("OpenVINO does not train")
    if options.against == "openvino" and options.isa:
        parser.error("OpenVINO cannot be held to an instruction set from outside")
    if not os.access(options.program, os.X_OK):
        parser.error(f"there is no {options.program}: build it with tools/build.sh release")
    if options.work == "loader":
        if options.against not in ("best", "torchvision") and not another_build:
            parser.error(f"--against cannot be '{options.against}' for loader: give torchvision or a program's path")
        return loader.run(options, options.python or python_with(["torch", "numpy", "torchvision"]), measure)
    if options.threads is None:
        options.threads = measure([options.program, "bench", "infer", "--input", "1x1x32x32", "--steps", 1,
                                   "--json"])["threads"]
    modules = ["torch", "numpy"] + ["torchvision"] * (not options.model.startswith("d2l_"))
    python = None if another_build else options.python or python_with(modules + ["openvino"] * (options.against == "openvino"))

    shared = ["--model", options.model, "--stem", options.stem, "--input", options.input, "--classes", options.classes,
              "--threads", options.threads, "--steps", options.steps, "--precision", options.precision]
    ours = [options.program, "bench", options.work, *shared, "--json"]
    environment = dict(RIVAL_ENVIRONMENT)
    if options.work == "train":
        del environment["TORCHINDUCTOR_FREEZING"]
    if options.isa:
        ours += ["--isa", options.isa]
        environment |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

    def rival(form):
        if another_build:
            return {**measure([form, *ours[1:]]), "version": ""}
        return measure([python, ROOT / "bench" / "rival_step.py", options.work, *shared, "--form", form], environment)

    form = options.against
    if form == "best":
        speeds = {}
        for candidate in FORMS:
            try:
                speeds[candidate] = rival(candidate)["examples_per_second"]
            except Failed as failure:
                print(f"PyTorch {candidate} does not run here: {failure}", file=sys.stderr)
        if not speeds:
            return 1
        form = max(speeds, key=speeds.get)
        print("PyTorch, examples/s: " + ", ".join(f"{name} {speed:.1f}" for name, speed in speeds.items()), flush=True)
    name = "OpenVINO" if form == "openvino" else "another build" if another_build else f"PyTorch {form}"

    ratios = []
    print(f"{'round':>5} {'resnet.cpp':>12} {name:>22} {'ratio':>7} {'peak GFLOP/s':>13}   (examples/s)")
    for round_number in range(1, options.rounds + 1):
        a, b = measure(ours), rival(form)
        ratios.append(a["examples_per_second"] / b["examples_per_second"])
        print(f"{round_number:>5} {a['examples_per_second']:>12.1f} {b['examples_per_second']:>22.1f} "
              f"{ratios[-1]:>7.3f} {a['peak_gflops']:>13.0f}", flush=True)
    median = statistics.median(ratios)
    memory = "" if form == "openvino" else (  # its process also holds PyTorch, which made the network
        f"; RSS {a['peak_rss_bytes'] / 2**20:.0f} against {b['peak_rss_bytes'] / 2**20:.0f} MiB")
    stem = "" if options.stem == "large" else f" {options.stem} stem"
    print(f"median ratio {median:.3f} ({options.work} {options.model}{stem} {options.input} {options.precision}; {name} {b['version']}, "
          f"{options.threads} threads, {a['isa']}; {a['fraction_of_direct_limit']:.2f} of the direct-convolution limit{memory})")
    return 0 if median >= options.least else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(str(error))
