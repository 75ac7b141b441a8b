#!/usr/bin/env python3
"""Training speed against the newest PyTorch, in alternating pairs of one run.

    bench/pair_pytorch.py [--rounds 3] [--program build/release/resnet]

Installs PyTorch from PyPI into .venv-rival (once), then runs `resnet bench train` and the same network
in PyTorch (channels_last, f32, the same batch and threads) in turn, and prints the ratio of each pair
and the median ratio. The exit code is 1 if the median is below --least.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
RIVAL = ROOT / ".venv-rival"


def rival_python():
    """The interpreter of a virtual environment that has PyTorch."""
    python = RIVAL / "bin" / "python"
    if not python.exists():
        print("installing PyTorch into .venv-rival", file=sys.stderr)
        venv.create(RIVAL, with_pip=True)
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def measure(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{result.stderr}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "resnet")
    parser.add_argument("--python", help="an interpreter that has PyTorch, instead of .venv-rival")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--least", type=float, default=1.0, help="median ratio below which the exit code is 1")
    options = parser.parse_args()
    python = options.python or rival_python()

    ours = [options.program, "bench", "train", "--model", "d2l_resnet18", "--precision", "f32", "--json",
            "--input", f"{options.batch}x1x{options.size}x{options.size}",
            "--threads", options.threads, "--steps", options.steps]
    theirs = [python, ROOT / "bench" / "pytorch_step.py", "--batch", options.batch, "--size", options.size,
              "--threads", options.threads, "--steps", options.steps, "--layout", "channels_last"]

    ratios = []
    print(f"{'round':>5} {'resnet.cpp':>12} {'PyTorch':>12} {'ratio':>7} {'peak GFLOP/s':>13}   (examples/s)")
    for round_number in range(1, options.rounds + 1):
        a, b = measure(ours), measure(theirs)
        ratios.append(a["examples_per_second"] / b["examples_per_second"])
        print(f"{round_number:>5} {a['examples_per_second']:>12.1f} {b['examples_per_second']:>12.1f} "
              f"{ratios[-1]:>7.2f} {a['peak_gflops']:>13.0f}", flush=True)
    median = statistics.median(ratios)
    print(f"median ratio {median:.2f} (PyTorch {b['torch']}, {options.threads} threads, {a['isa']}; "
          f"{a['fraction_of_direct_limit']:.2f} of the direct-convolution limit; "
          f"RSS {a['peak_rss_bytes'] / 2**20:.0f} against {b['peak_rss_bytes'] / 2**20:.0f} MiB)")
    return 0 if median >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
