#!/usr/bin/env python3
"""How the time of an example grows with batch, depth, pixels and threads: a table, and an SVG plot.

    bench/growth.py [--svg docs/growth.svg]      a minute to ten

Runs `resnet bench train` along each axis, the others as in the chapter (d2l_resnet18, 1x96x96; batch 64, so that
152 layers fit anywhere), and prints Markdown. Installs matplotlib into .venv-rivals (once).
"""
import argparse
import json
import os
import subprocess
import sys

from environment import ROOT, python_with

os.environ["RESNET_CUDA_PLUGIN"] = "none"  # the CPU's figures, also where there is a GPU

DEPTHS = (18, 34, 50, 101, 152)
CORES = len(os.sched_getaffinity(0))
THREADS = [2**i for i in range(10) if 2**i <= CORES]


def axes():
    """Name, unit and points (value, arguments) of each axis."""
    def point(depth=18, batch=64, side=96, threads=CORES):
        return ["--model", f"d2l_resnet{depth}", "--input", f"{batch}x1x{side}x{side}", "--threads", threads]
    return [("batch", "images", [(n, point(batch=n)) for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)]),
            ("depth", "layers", [(n, point(depth=n)) for n in DEPTHS]),
            ("side", "pixels", [(n, point(side=n)) for n in (32, 64, 96, 128, 160, 224)]),
            ("threads", "", [(n, point(threads=n)) for n in sorted({*THREADS, CORES})])]


def measure(program, arguments, steps):
    command = [program, "bench", "train", "--json", "--steps", steps, *arguments]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stderr}")
    return json.loads(result.stdout)


def plot(series, path):
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("svg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    figure, panes = pyplot.subplots(1, len(series), figsize=(4 * len(series), 3.2), constrained_layout=True)
    for pane, (name, unit, points) in zip(panes, series):
        values = [value for value, _ in points]
        pane.loglog(values, [milliseconds for _, milliseconds in points], "o-", base=2)
        pane.set_xticks(values, [str(value) for value in values])
        pane.minorticks_off()
        pane.set_xlabel(f"{name}, {unit}" if unit else name)
        pane.set_ylabel("ms an example")
        pane.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "resnet")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--svg", help="also plot into this file")
    options = parser.parse_args()
    if options.svg:
        try:
            import matplotlib  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
        except ImportError:
            python = python_with(["matplotlib"])
            os.execv(python, [str(python), *sys.argv])

    series = []
    print("| axis | value | ms an example | examples/s | of the direct-convolution limit | peak RSS, MiB |\n"
          "|---|---|---|---|---|---|")
    for name, unit, points in axes():
        measured = []
        for value, arguments in points:
            figures = measure(options.program, arguments, options.steps)
            speed = figures["examples_per_second"]
            measured.append((value, 1e3 / speed))
            print(f"| {name} | {value} | {1e3 / speed:.2f} | {speed:.1f} | {figures['fraction_of_direct_limit']:.2f} | "
                  f"{figures['peak_rss_bytes'] / 2**20:.0f} |", flush=True)
        series.append((name, unit, measured))
    if options.svg:
        plot(series, options.svg)


if __name__ == "__main__":
    main()
