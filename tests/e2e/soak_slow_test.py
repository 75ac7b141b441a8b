#!/usr/bin/env python3
"""Ten thousand steps with a checkpoint every hundred: memory, descriptors and files stay as they are."""
import pathlib
import statistics
import subprocess
import time

from program import HERE, PROGRAM, TIMEOUT, put_noise

put_noise("own", 640)

process = subprocess.Popen(
    [PROGRAM, "train", "--data", "idx:own", "--resize", "32", "--model", "resnet18", "--channels", "8,16", "--blocks", "1,1",
     "--batch-size", "8", "--epochs", "125", "--limit-test", "64", "--momentum", "0.9", "--ema", "0.99", "--checkpoint-every", "100", "--quiet",
     "--out", "run"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
status = pathlib.Path(f"/proc/{process.pid}/status")
descriptors = pathlib.Path(f"/proc/{process.pid}/fd")
checkpoints = HERE / "run" / "checkpoints"
samples = []  # (resident KiB, descriptors, files)
began = time.monotonic()
while process.poll() is None and time.monotonic() - began < TIMEOUT:
    try:
        rss = int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1])
        files = len(list(checkpoints.iterdir())) if checkpoints.exists() else 0
        samples.append((rss, len(list(descriptors.iterdir())), files))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        break
    time.sleep(0.05)
error = process.communicate(timeout=TIMEOUT)[1]
assert process.returncode == 0, error
assert len(samples) > 40, samples
quarter = len(samples) // 4
early, late = samples[quarter:2 * quarter], samples[-quarter:]
# Not the most, which the buffers of a moment make.
rss_early, rss_late = (statistics.median(s[0] for s in part) for part in (early, late))
assert rss_late < rss_early + 512, samples
assert max(s[1] for s in late) <= max(s[1] for s in early), samples
assert max(s[2] for s in late) <= 5, samples  # two, the best, one that is being written, one not yet removed
print(f"{len(samples)} samples: {rss_early:.0f} KiB in the second quarter, {rss_late:.0f} in the last (medians); "
      f"{max(s[1] for s in late)} descriptors, {max(s[2] for s in late)} files")
