#!/usr/bin/env python3
"""A learning rate that explodes ends the run at that step with the layer named; --on-nan leaves the step out, or goes back."""
import json
import math
import struct

from program import HERE, on_terminal, put_noise, result_of, run

put_noise("own", 48)
RUN = ["--data", "idx:own", "--resize", "32", "--model", "resnet18", "--channels", "8,16", "--blocks", "1,1", "--batch-size", "8",
       "--epochs", "3", "--threads", "1", "--quiet", "--checkpoint-every", "1"]


def diagnosis_of(folder):
    return json.loads((HERE / folder / "diagnosis.json").read_text())


def tensors_of(path, prefix=""):
    """The f32 tensors of a safetensors file by their names behind the prefix."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    return {name[len(prefix):]: data[8 + size + info["data_offsets"][0]:8 + size + info["data_offsets"][1]]
            for name, info in header.items() if name != "__metadata__" and name.startswith(prefix) and info["dtype"] == "F32"}


# It stops: one line of what, one of hint, the place named, and the weights are those before the step.
result = run("train", *RUN, "--lr", "1e30", "--out", "stopped", code=1, says="no longer finite at step ")
lines = result.stderr.strip().splitlines()
assert len(lines) == 2 and lines[1].startswith("hint: ") and "--lr" in lines[1] and "--on-nan" in lines[1], result.stderr
assert max(map(len, lines)) <= 300, lines
stopped = diagnosis_of("stopped")
assert stopped["outcome"] == "stop" and stopped["what"] in lines[0], stopped
assert stopped["first"]["place"] in ("output", "gradient", "update") and stopped["first"]["name"] in lines[0], stopped
assert len(stopped["examples"]) == 8 and all(0 <= i < 48 for i in stopped["examples"]), stopped
assert stopped["step"] > 1 and not (HERE / "stopped" / "result.json").exists(), stopped
newest = sorted((HERE / "stopped" / "checkpoints").iterdir())[-1]
assert newest.name == f"step-{stopped['step'] - 1:09}.safetensors", (newest, stopped)
model = tensors_of(HERE / "stopped" / "model.safetensors")
good = tensors_of(newest, "state/")
assert model and all(good[name] == values for name, values in model.items())
assert all(math.isfinite(x) for values in model.values() for (x,) in struct.iter_unpack("<f", values))

# It goes on: steps left out are counted, and ten in a row are enough.
result = run("train", "--resume", "stopped", "--on-nan", "skip", "--quiet", code=1, says="10 steps in a row were left out")
assert result.stderr.count("it is left out (") == 10, result.stderr
skipped = diagnosis_of("stopped")
assert skipped["outcome"] == "stop" and skipped["skipped_steps"] == 10 and skipped["step"] == stopped["step"] + 10, skipped

# It goes back, with half the rate each time, which does not help against this one.
result = run("train", *RUN, "--lr", "1e30", "--on-nan", "rollback", "--out", "back", code=1, says="it went back 5 times")
assert result.stderr.count("going back, with a rate of 1/") == 5, result.stderr
assert diagnosis_of("back")["rollbacks"] == 5
told = run("train", *[flag for flag in RUN if flag != "--quiet"], "--lr", "1e30", "--on-nan", "rollback", "--out", "told", code=1).stderr
assert told.count("going back, with a rate of 1/") == 5 and told.count("settings: ") == 1, told

# What nothing happens to is the same run under every policy.
hashes = set()
for policy in ("stop", "skip", "rollback"):
    run("train", *RUN, "--lr", "0.05", "--on-nan", policy, "--out", policy)
    hashes.add(result_of(policy)["weights_sha256"])
    assert result_of(policy)["skipped_steps"] == result_of(policy)["rollbacks"] == 0
    assert not (HERE / policy / "diagnosis.json").exists()
assert len(hashes) == 1, hashes
run("train", *RUN, "--on-nan", "go", "--out", "x", code=2, says="--on-nan")

# What is said in the middle of a run stands above the bar and the curves, which do not paint over it.
seen = on_terminal("train", *[word for word in RUN if word != "--quiet"], "--lr", "1e30", "--on-nan", "skip", "--out", "seen")
at = seen.index(b"note: the ")
assert seen.rfind(b"\x1b[?2026h", 0, at) > seen.rfind(b"\x1b[?2026l", 0, at), "the note is a line of a frame"
