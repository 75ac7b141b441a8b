#!/usr/bin/env python3
"""What checkpoints cost a training: the chapter's network with one every few steps and with none, in alternating pairs of one run.

    bench/checkpoints.py                     prints seconds a checkpoint, and the share of five minutes (the default) that it is
    bench/checkpoints.py --rounds 9 --every 2
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

from environment import ROOT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "resnet", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=4, help="steps between checkpoints")
    options = parser.parse_args()

    def seconds(every):
        """Of a whole run. The last checkpoint is waited for, the others are written beside the steps."""
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
            command = [options.program, "train", "--limit-train", 256 * options.steps, "--limit-test", 256, "--epochs", 1, "--momentum", 0.9,
                       "--checkpoint-every", every, "--quiet", "--json", "--out", pathlib.Path(folder) / "run"]
            result = json.loads(subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout)
            kept = len(list((pathlib.Path(folder) / "run").glob("checkpoints/*")))
            assert (kept > 0) == (every > 0), kept
            return result["seconds"]

    costs = []
    for number in range(1, options.rounds + 1):
        without, with_them = seconds(0), seconds(options.every)
        costs.append((with_them - without) / (options.steps / options.every))
        print(f"round {number}: {without:.2f} s without, {with_them:.2f} s with {options.steps // options.every} checkpoints: "
              f"{1e3 * costs[-1]:.0f} ms each", flush=True)
    cost = statistics.median(costs)
    print(f"median {1e3 * cost:.0f} ms a checkpoint: {100 * cost / 300:.3f} % of five minutes")


if __name__ == "__main__":
    main()
