#!/usr/bin/env python3
"""A run that a time bounds ends on time and is repeated by its config.toml; what was decided is said before the first step."""
import json
import pathlib
import re
import shutil
import signal
import time
import tomllib

import program
from weight_files import read_safetensors

RUN = ["train", "--limit-train", "640", "--limit-test", "128", "--resize", "16", "--model", "resnet18", "--stem", "small", "--channels", "8,8",
       "--blocks", "1,1", "--batch-size", "16", "--recipe", "scratch", "--threads", "1"]
SECONDS = 3


def run(*flags):
    begin = time.monotonic()
    result = program.run(*flags, "--json")
    return json.loads(result.stdout), result.stderr, time.monotonic() - begin


# The program's own clock, from its start to the end of the last evaluation; a busy machine may take a step when it is not due.
timed, said, wall = run(*RUN, "--time", f"{SECONDS}s", "--out", "timed")
assert timed["complete"] and timed["seconds"] <= wall, (timed, wall)
if timed["steps"] == 1:  # under a sanitizer, or on a machine that does all else
    print("not judged: opening the data took all the time")
else:
    assert abs(timed["seconds"] - SECONDS) <= 0.1 * SECONDS, timed
    assert re.search(r"^run: 10 classes, 640 training examples, 128 to test; \d+ steps in \d+ epochs, as many as fit into 00:0\d$", said, re.M), said
assert re.search(rf"^time: [\d.]+ s of {SECONDS}.0 s, {timed['steps']} steps \({timed['step_plan']}\)$", said, re.M), said

# Its config has the steps in place of the time.
config = tomllib.loads(pathlib.Path("timed/config.toml").read_text())
assert "time" not in config and str(config["steps"]) == timed["step_plan"], (config, timed)
again, _, _ = run("train", "--config", "timed/config.toml", "--out", "again", "--quiet")
assert (again["steps"], again["weights_sha256"], again["step_plan"]) == (timed["steps"], timed["weights_sha256"], timed["step_plan"]), (again, timed)

# More epochs would change nothing, since the steps are planned.
program.run("train", "--resume", "timed", "--epochs", "99", "--quiet", code=2, says="--epochs changes nothing")

# One that was killed before there was a plan still has its time in place of the steps; given more, it goes on.
shutil.copytree("timed", "unplanned")
config = pathlib.Path("unplanned/config.toml")
config.write_text(re.sub(r"(?m)^steps = .*$", f"time = '{SECONDS}s'", config.read_text()))
program.run("train", "--resume", "unplanned", "--epochs", "99", "--quiet", code=2, says="ends when its time is over; --epochs changes nothing")
program.run("train", "--resume", "unplanned", "--epochs", "99", "--time", "0", "--memory", "1M", "--quiet", code=1)  # it would go on
longer, said, _ = run("train", "--resume", "unplanned", "--epochs", "99", "--time", f"{2 * SECONDS}s", "--quiet")
assert longer["complete"] and longer["steps"] > timed["steps"] and longer["seconds"] < 2.5 * SECONDS + wall, (longer, said)

# A folder that goes away while the plan changes does not end the run: it is made again, with the plan and the model.
if timed["steps"] < 50:
    print("not judged: a folder that goes away; this machine does all else")
else:
    budget = 30 if program.sanitized() else 6
    process = program.start(*RUN, "--time", f"{budget}s", "--quiet", "--out", "moved")
    program.wait_until(process, lambda: program.has_lines(pathlib.Path("moved/metrics.csv"), 2))
    pathlib.Path("moved").rename("elsewhere")
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.3 * budget)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=program.TIMEOUT)
    assert process.returncode == 0 and "moved was moved or removed while the run went on; its model is in moved" in said, (process.returncode, said)
    moved = json.loads(pathlib.Path("moved/result.json").read_text())
    assert str(tomllib.loads(pathlib.Path("moved/config.toml").read_text())["steps"]) == moved["step_plan"], moved
    assert "," in moved["step_plan"] and pathlib.Path("moved/model.safetensors").exists(), moved

# A plan that changed twice, whatever the machine: by flag and by config.
flags = ["--steps", "100,20:60,50:80", "--epochs", "2"]
changed, said, _ = run(*RUN, *flags, "--out", "changed")
assert re.search(r"^run: 10 classes, 640 training examples, 128 to test; 80 steps in 2 epochs, about \d\d:\d\d$", said, re.M), said
assert changed["steps"] == 80 and changed["step_plan"] == "100,20:60,50:80", changed
same, _, _ = run("train", "--config", "changed/config.toml", "--out", "same", "--quiet")
assert same["weights_sha256"] == changed["weights_sha256"], (same, changed)
plain, _, _ = run("train", "--config", "changed/config.toml", "--steps", "80", "--out", "plain", "--quiet")
assert plain["steps"] == 80 and plain["weights_sha256"] != changed["weights_sha256"], plain
program.run("train", "--resume", "plain", "--epochs", "99", "--quiet", code=2, says="ends after its planned steps; --epochs changes nothing")
wrong = program.run(*RUN, "--steps", "100,20:60,70:80", "--quiet", "--out", "wrong", code=2,
                    says="a change of the steps at step 70 to 80 does not fit a run of 60")
assert len(wrong.stderr.splitlines()) == 2, wrong

# The batches of a training, for another program.
program.run("data", "--limit-train", "640", "--resize", "16", "--recipe", "scratch", "--batch-size", "16", "--steps", "41",
            "--save-batches", "batches.safetensors")
batches, _ = read_safetensors(pathlib.Path("batches.safetensors"))
assert (batches["0.images"][1], batches["40.labels"][1]) == ([16, 1, 16, 16], [16]), batches.keys()
assert len([name for name in batches if name.endswith(".images")]) == 41 and not any("mix" in name for name in batches)
program.run("data", "--limit-train", "640", "--resize", "16", "--recipe", "scratch", "--batch-size", "16", "--epoch", "2",
            "--save-batches", "second.safetensors")
second, _ = read_safetensors(pathlib.Path("second.safetensors"))
assert len(second) == 2 * 40 and all(second[f"0.{part}"] == batches[f"40.{part}"] for part in ("images", "labels"))
print("ok")
