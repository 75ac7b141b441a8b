#!/usr/bin/env python3
"""A run on disks that are full, read-only or limited: it ends with one clear line, leaves whole files alone, and no
temporary ones. The disks are tmpfs in a mount namespace of this test's own; where that is not allowed the test says so,
does the rest, and counts as skipped."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

PROGRAM = os.environ["RESNET_PROGRAM"]
TIMEOUT = int(os.environ["RESNET_TEST_TIMEOUT"])  # seconds; sanitizers have more

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount():
    try:
        probe = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return probe.stderr.strip() if probe.returncode else ""


refused = "" if sys.argv[1:] == ["inside"] else may_mount()
if not refused and sys.argv[1:] != ["inside"]:
    os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, __file__, "inside"])

HERE = pathlib.Path.cwd() / "files"
shutil.rmtree(HERE, ignore_errors=True)
HERE.mkdir()
os.chdir(HERE)
os.environ.pop("RESNET_DATA_DIR", None)
DISK = HERE / "disk"
DISK.mkdir()

pixels = bytes(7 * i % 251 for i in range(8 * 40 * 40))
for split in ("train", "t10k"):
    (HERE / f"{split}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\x08\0\0\0\x28\0\0\0\x28" + pixels)
    (HERE / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + b"\0\0\0\x08" + bytes(i % 3 for i in range(8)))
TRAIN = [PROGRAM, "train", "--data", f"idx:{HERE}", "--resize", "32", "--batch-size", "4", "--epochs", "2", "--channels", "8,8",
         "--blocks", "1,1", "--quiet"]


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT, check=False)


def check(result, folder, reasons, context):
    """The run is whole, or ended with a reason; gives whether it is whole."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    assert not [name for name in names if name.endswith(".tmp")], (context, names)
    if "model.safetensors" in names:  # whichever other file had no room
        run_of_it = run(PROGRAM, "eval", folder / "model.safetensors", "--data", f"idx:{HERE}", "--json")
        assert run_of_it.returncode == 0, (context, run_of_it)
    if "result.json" in names:
        json.loads((folder / "result.json").read_text())
    if result.returncode == 0:
        assert {"config.toml", "metrics.csv", "curves.svg", "result.json", "model.safetensors"} <= set(names), (context, names)
        return True
    said = result.stderr.splitlines()
    assert result.returncode == 1 and any(reason in result.stderr for reason in reasons), (context, result)
    assert said[-1].startswith("hint: ") and all(len(line) <= 300 for line in said), (context, result)
    return False


# A limit of file size, in blocks of 512 bytes.
whole = run(*TRAIN, "--out", "whole")
assert whole.returncode == 0, whole
largest = max(path.stat().st_size for path in (HERE / "whole").iterdir())
outcomes = []
for blocks in (1, 2, 4, 8, 16, 32, largest // 512, largest // 512 + 1):
    out = HERE / f"limit-{blocks}"
    ended = run("sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *TRAIN, "--out", out)
    outcomes.append(check(ended, out, ["File too large"], blocks))
assert outcomes == sorted(outcomes) and not outcomes[0] and outcomes[-1], outcomes

if refused:
    print(f"SKIPPED: no tmpfs may be mounted here ({refused}): the full and the read-only disk were not tried")
    sys.exit(77)

# A disk that is full sooner or later. The folder's root is a page, each file some pages.
outcomes = []
for kib in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 1024):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", DISK], check=True)
    outcomes.append(check(run(*TRAIN, "--out", DISK / "run"), DISK / "run", ["No space left on device"], kib))
    subprocess.run(["umount", DISK], check=True)
assert outcomes == sorted(outcomes) and not outcomes[0] and outcomes[-1], outcomes
assert outcomes.count(False) >= 3, outcomes
# No inode for a folder, for a file, for the temporary beside the files that are there.
for inodes in (1, 2, 3, 4, 5):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={inodes}", "none", DISK], check=True)
    check(run(*TRAIN, "--out", DISK / "run"), DISK / "run", ["No space left on device"], f"{inodes} inodes")
    subprocess.run(["umount", DISK], check=True)

# A disk that is read-only.
subprocess.run(["mount", "-t", "tmpfs", "none", DISK], check=True)
(DISK / "there").mkdir()
subprocess.run(["mount", "-o", "remount,ro", DISK], check=True)
for out in ("new", "there"):
    ended = run(*TRAIN, "--out", DISK / out)
    assert not check(ended, DISK / out, ["Read-only file system"], out)
    assert ended.stderr.splitlines()[-1] == "hint: check the permissions, or give another folder", ended
subprocess.run(["umount", DISK], check=True)
print("ok")
