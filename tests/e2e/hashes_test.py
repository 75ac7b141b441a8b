#!/usr/bin/env python3
"""Training gives the bits that it gave before: weights_sha256 of short runs of four networks in f32, and of two in bf16
where the processor has it, against tests/golden/hashes/<instruction set>.txt, with one thread and with two.

Usage: hashes_test.py [--record]   (writes the files of this machine's instruction sets; a change of arithmetic
                                    does that in a commit of its own that says why)
"""
import json
import subprocess
import sys

from program import HERE, PROGRAM, SOURCE, TIMEOUT, put, put_idx

GOLDEN = SOURCE / "tests" / "golden" / "hashes"
LEVELS = ["avx2", "avx512", "avx512_bf16"]

# Name, data, flags. Ragged last batches, odd channels, every kind of block and stem.
GRAY = ["--data", "idx:gray"]
RGB = ["--data", "cifar10", "--data-dir", "rgb"]
RUNS = [
    ("chapter", GRAY, ["--resize", "96", "--batch-size", "32", "--epochs", "1"]),
    ("resnet18-small-stem", RGB, ["--model", "resnet18", "--stem", "small", "--batch-size", "24", "--epochs", "2"]),
    ("resnet50", RGB, ["--model", "resnet50", "--resize", "64", "--batch-size", "16", "--steps", "4"]),
    ("ragged", GRAY, ["--blocks", "1,2,1", "--channels", "24,40,72", "--block", "bottleneck", "--resize", "57x41",
                      "--batch-size", "11", "--epochs", "2"]),
]
BF16_RUNS = [(f"{name}-bf16", data, [*flags, "--precision", "bf16"]) for name, data, flags in RUNS[:2]]


def noise(count, seed):
    """Bytes of a linear congruential generator: the same on every machine and version."""
    state, out = seed, bytearray(count)
    for i in range(count):
        state = (1103515245 * state + 12345) & 0x7FFFFFFF
        out[i] = (state >> 16) & 0xFF
    return bytes(out)


def write_data():
    for split, count in (("train", 80), ("t10k", 10)):
        put_idx("gray", split, noise(count * 28 * 28, 1), ((7 * i + i // 3) % 10 for i in range(count)), 28)
    for name in [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]:
        pixels = noise(13 * 3072, len(name) + ord(name[-5]))
        put(f"rgb/{name}", b"".join(bytes([i % 10]) + pixels[i * 3072:(i + 1) * 3072] for i in range(13)))


def train(name, data, flags, isa, threads):
    command = [PROGRAM, "train", *data, *flags, "--isa", isa, "--threads", str(threads), "--out", f"{name}-{isa}-{threads}",
               "--quiet", "--json"]
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if run.returncode == 2 and "this processor has no" in run.stderr:
        return None
    assert run.returncode == 0, f"{command}: exit code {run.returncode}\n{run.stderr}"
    return json.loads(run.stdout)["weights_sha256"]


def main():
    record = sys.argv[1:] == ["--record"]
    write_data()
    failures = []
    for isa in LEVELS:
        golden = GOLDEN / f"{isa}.txt"
        lines = []
        for name, data, flags in RUNS + (BF16_RUNS if isa == "avx512_bf16" else []):
            hashes = {train(name, data, flags, isa, threads) for threads in (1, 2)}
            if hashes == {None}:
                break
            if len(hashes) != 1:
                failures.append(f"{isa} {name}: one thread and two differ: {sorted(map(str, hashes))}")
            lines.append(f"{name} {min(hashes)}")
        if not lines:
            print(f"not run: this processor has no {isa}")
        elif record:
            golden.write_text("\n".join(lines) + "\n", encoding="utf-8")
        elif not golden.is_file():
            print(f"not compared: nobody has recorded {golden.name} yet (hashes_test.py --record on such a machine)")
        else:
            for line, expected in zip(lines, golden.read_text(encoding="utf-8").splitlines(), strict=True):
                if line != expected:
                    failures.append(f"{isa}: got '{line}', recorded is '{expected}'")
    assert not failures, "\n".join(failures)


main()
