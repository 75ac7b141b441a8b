"""The loader against Pillow with torchvision's transforms, in alternating pairs; called by bench/pair.py loader."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from environment import ROOT

SIZE = 224      # behind the transforms
SMALL = 32      # of the network that --cache memory has to feed
RIVAL = ROOT / "bench" / "rival_loader.py"


def check_pixels(program, python, folder):
    """Every picture that our loader makes must be one that torchvision makes: the middle of what was resized."""
    with tempfile.TemporaryDirectory() as scratch:
        batches = pathlib.Path(scratch) / "batches.safetensors"
        subprocess.run([program, "data", folder, "--resize", str(SIZE), "--val-split", "0", "--batch-size", "64", "--steps", "2",
                        "--save-batches", batches], check=True, capture_output=True)
        if subprocess.run([python, RIVAL, folder, str(SIZE), "--check", batches], check=False).returncode != 0:
            sys.exit("the two do not do the same")


def run(options, python, measure):
    folder = pathlib.Path(options.pictures or ROOT / "build" / "photographs")
    if not options.pictures:
        subprocess.run([python, "-c", "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import photographs; "
                        "photographs.write(pathlib.Path(sys.argv[2]), 128)", ROOT / "bench", folder], check=True)
    other = options.against if os.sep in options.against else None
    if not other:
        check_pixels(options.program, python, folder)
    bench = [options.program, "bench", "loader", "--data", f"folder:{folder}", "--json"]
    ours = [*bench, "--resize", SIZE, "--augment", "resized-crop,flip", "--loader-threads", 1, "--batch-size", 64]
    ratios, version = [], ""
    name = "another build" if other else "torchvision"
    print(f"{'round':>5} {'resnet.cpp':>12} {name:>13} {'ratio':>7}   (pictures/s, one thread against one worker)")
    for number in range(1, options.rounds + 1):
        a = measure(ours)
        b = measure([other, *ours[1:]] if other else [python, RIVAL, folder, SIZE, 3])
        ratios.append(a["examples_per_second"] / b["examples_per_second"])
        version = name if other else b["version"]
        print(f"{number:>5} {a['examples_per_second']:>12.1f} {b['examples_per_second']:>13.1f} {ratios[-1]:>7.3f}", flush=True)
    parts = ", ".join(f"{name} {part['us']:.0f} us ({100 * part['share']:.0f} %)" for name, part in a["parts"].items())
    median = statistics.median(ratios)
    print(f"median ratio {median:.3f} (JPEG to {SIZE}x{SIZE}, resized crop and flip; {version}); ours: {parts}")
    if other:
        return 0 if median >= options.least else 1
    fed = measure([*bench, "--resize", SMALL, "--augment", "crop,flip", "--cache", "memory", "--loader-threads", 1])
    step = measure([options.program, "bench", "train", "--model", "resnet18", "--stem", "small", "--input", f"128x3x{SMALL}x{SMALL}",
                    "--steps", options.steps, "--json"])
    print(f"--cache memory at {SMALL}x{SMALL}: {fed['examples_per_second']:.0f} pictures/s of one thread, the step of resnet18 with its "
          f"small stem takes {step['examples_per_second']:.0f} ({step['threads']} threads)")
    return 0 if median >= options.least and fed["examples_per_second"] >= step["examples_per_second"] else 1
