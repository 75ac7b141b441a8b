#!/usr/bin/env python3
"""Memory: --memory is kept, or refused before the run begins with what would fit; a network that is too big for the
machine is refused before it takes any; where the system has no more, every command ends in two lines and leaves nothing."""
import os
import re
import resource
import shutil
import subprocess

from program import HERE, PROGRAM, TIMEOUT, png, put, put_noise, result_of, sanitized

MIB = 1 << 20
SIZE = {"MiB": MIB, "GiB": 1 << 30}


def limited(bytes_of_addresses):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_of_addresses, bytes_of_addresses))


def measured(*arguments, prepare=None):
    """Exit code, stderr and the most resident bytes of a run of the program."""
    with open(HERE / "stderr", "w+b") as errors:
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=errors, preexec_fn=prepare)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        return process.returncode, errors.read().decode(), usage.ru_maxrss * 1024


def check_refused(code, stderr, context):
    lines = [line for line in stderr.splitlines() if not line.startswith(("note: ", "device: "))]
    assert code == 1 and len(lines) == 2 and lines[0].startswith("resnet: ") and lines[1].startswith("hint: "), \
        (context, code, stderr)
    assert max(map(len, lines)) <= 300, (context, stderr)


put_noise("own", 160)
NETWORK = ["--data", "idx:own", "--model", "resnet18", "--channels", "16,32", "--blocks", "1,1", "--threads", "2"]
TRAIN = ["train", *NETWORK, "--resize", "160", "--epochs", "1", "--momentum", "0.9", "--ema", "0.9", "--quiet"]

if sanitized():  # whose own memory is most of it
    print("not measured: this program has no plain memory")
    raise SystemExit(77)

# The whole of it, without a cap.
code, stderr, free_peak = measured(*TRAIN, "--batch-size", "160", "--out", "free")
assert code == 0, stderr
expected = result_of("free")["weights_sha256"]
kept = refused = 0
advice = None
for share in (0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.05, 1.15, 1.3):
    cap = int(free_peak * share) // MIB
    code, stderr, peak = measured(*TRAIN, "--batch-size", "160", "--memory", f"{cap}M", "--out", f"cap{cap}")
    print(f"--memory {cap}M: exit code {code}, {peak / MIB:.0f} MiB at most")
    assert peak <= 1.05 * cap * MIB or code != 0 and cap < 60, (cap, peak / MIB, stderr)
    if code == 0:
        kept += 1
        assert result_of(f"cap{cap}")["weights_sha256"] == expected, cap
        continue
    refused += 1
    check_refused(code, stderr, cap)
    assert not (HERE / f"cap{cap}").exists(), cap
    needed = re.search(r"the run needs ([\d.]+) (MiB|GiB) more", stderr)
    if needed:
        flags = re.search(r"--batch-size (\d+) with --accumulate (\d+)", stderr)
        advice = (cap, flags.groups()) if flags else advice
assert kept >= 2 and refused >= 2, (kept, refused)

# What the hint gives fits.
assert advice, "no hint gave a smaller batch"
cap, (batch, accumulate) = advice
code, stderr, peak = measured(*TRAIN, "--batch-size", batch, "--accumulate", accumulate, "--memory", f"{cap}M", "--out", "advised")
print(f"--batch-size {batch} --accumulate {accumulate} --memory {cap}M: {peak / MIB:.0f} MiB at most")
assert code == 0 and peak <= 1.05 * cap * MIB, (advice, code, peak / MIB, stderr)

# Whitening reads no more at once than training does.
peaks = []
for flags in ([], ["--whiten", "yes"]):
    code, stderr, peak = measured(*TRAIN, *flags, "--resize", "320", "--batch-size", "2", "--steps", "4", "--out", f"white{len(flags)}")
    assert code == 0, stderr
    peaks.append(peak)
print(f"--whiten: {peaks[1] / MIB:.0f} MiB at most, {peaks[0] / MIB:.0f} without")
assert peaks[1] <= peaks[0] + 8 * MIB, peaks

# A folder is looked at by as many threads as the run has, and as its memory has room for.
for i in range(24):
    put(f"photos/{'ab'[i % 2]}/{i}.png", png(bytes([i]) * (3 * 2000 * 2000), 2000, 2000))
os.environ["OMP_NUM_THREADS"] = "16"
for flags in (["--threads", "1"], ["--memory", "200M"]):
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    code, stderr, peak = measured("train", "photos", *NETWORK[2:-2], "--resize", "32", "--epochs", "1", "--batch-size", "8", "--loader-threads", "1",
                                  *flags, "--quiet", "--out", "looked" + flags[1])
    print(f"{' '.join(flags)}: {peak / MIB:.0f} MiB at most")
    assert code == 0, stderr
    assert peak <= 110 * MIB, peak / MIB
del os.environ["OMP_NUM_THREADS"]

# Evaluation.
EVAL = ["eval", "free", "--data", "idx:own", "--threads", "2", "--batch-size", "160"]
code, stderr, peak = measured(*EVAL)
assert code == 0, stderr
code, stderr, peak = measured(*EVAL, "--memory", f"{peak // MIB + 20}M")
assert code == 0, stderr
code, stderr, _ = measured(*EVAL, "--memory", "24M")
check_refused(code, stderr, "eval")
assert "--batch-size" in stderr, stderr

# What an export is checked by: one picture at a time, of 26 MiB each.
for i in range(8):
    put(f"photos/{i}.png", png(bytes([i]) * (3000 * 3000 * 3), 3000, 3000, level=1))
code, stderr, peak = measured("export", "free", "--onnx", "free.onnx", "--check", "photos", "--threads", "2")
print(f"export --check: {peak / MIB:.0f} MiB at most")
assert code == 0 and peak < 150 * MIB, (code, peak / MIB, stderr)

# Too big for the machine: by its activations, and by its parameters.
wide = ["train", "--data", "idx:own", "--model", "resnet18", "--quiet", "--out", "wide"]
code, stderr, peak = measured(*wide, "--channels", "256,256", "--blocks", "1,1", "--resize", "1024x1024", "--batch-size", "160")
check_refused(code, stderr, "activations")
assert "GiB" in stderr and peak < 300 * MIB and not (HERE / "wide").exists(), (peak / MIB, stderr)
code, stderr, peak = measured(*wide, "--channels", "64,16384,65536", "--blocks", "1,1,1", "--resize", "32")
check_refused(code, stderr, "parameters")
assert "GiB" in stderr and peak < 300 * MIB and not (HERE / "wide").exists(), (peak / MIB, stderr)

# Where the system gives no more, at sizes of addresses from too few to begin with to enough.
ended = {0: 0, 1: 0}
for size in [*range(40, 160, 6), 320, 640]:
    folder = HERE / f"addresses{size}"
    code, stderr, _ = measured(*TRAIN, "--batch-size", "32", "--limit-train", "64", "--limit-test", "32", "--out", folder,
                               prepare=limited(size * MIB))
    if code == 127 and "error while loading" in stderr:
        continue  # the system's loader
    assert code in (0, 1), (size, code, stderr)
    ended[code] += 1
    if code == 1:
        assert stderr.splitlines()[-2].startswith("resnet: ") and stderr.splitlines()[-1].startswith("hint: "), (size, stderr)
        assert not folder.exists() or (folder / "model.safetensors").exists(), (size, list(folder.iterdir()))
    assert not list(folder.rglob("*.tmp")), size
print(f"limits of addresses: {ended[1]} runs refused, {ended[0]} done")
assert min(ended.values()) >= 2, ended
