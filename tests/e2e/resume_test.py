#!/usr/bin/env python3
"""A run that is killed, stopped or made longer goes on as if nothing had happened; one that would be another run is
refused, and nothing of it is touched. RESNET_KILLS and RESNET_STOPS: how many of each (kills_slow_test.py)."""
import atexit
import json
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import time

from program import HERE, PROGRAM, TIMEOUT, ends_with_test, has_lines, put_noise, run, start, wait_until

KILLS = int(os.environ.get("RESNET_KILLS", "6"))
STOPS = int(os.environ.get("RESNET_STOPS", "6"))


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


put_noise("own", 48)
put_noise("other", 48, seed=1)
RUN = ["--data", "idx:own", "--resize", "32", "--model", "resnet18", "--channels", "8,16", "--blocks", "1,1", "--batch-size", "8",
       "--epochs", "3", "--augment", "flip", "--momentum", "0.9", "--ema", "0.9", "--schedule", "cosine", "--threads",
       "1", "--quiet"]
undisturbed = json.loads(run("train", *RUN, "--json", "--out", "undisturbed").stdout)
# The rate does not depend on the length of this one, so that it may become longer.
STEADY = [*RUN[:RUN.index("--schedule")], *RUN[RUN.index("--schedule") + 2:]]
steady = json.loads(run("train", *STEADY, "--json", "--out", "steady").stdout)
SAME = ["loss", "train_acc", "test_acc", "weights_sha256", "epochs", "steps", "complete"]


def expect_equal(folder, printed, name, wanted):
    """That `folder` holds what the undisturbed run `name` gave."""
    result = json.loads(printed.stdout)
    assert [result[key] for key in SAME] == [wanted[key] for key in SAME], (folder, result, wanted)
    assert (folder / "metrics.csv").read_text() == (HERE / name / "metrics.csv").read_text(), folder
    assert json.loads((folder / "result.json").read_text())["weights_sha256"] == wanted["weights_sha256"]
    assert {path.name[:5] for path in (folder / "checkpoints").iterdir()} <= {"step-"}, list(folder.rglob("*"))


def begin(folder, *more):
    """The run, or what is left of it, in another process."""
    resumed = (folder / "config.toml").exists() and (folder / "config.toml").stat().st_size > 0
    where = ["--resume", folder.name] if resumed else [*RUN, "--checkpoint-every", "2", "--out", folder.name]
    return ends_with_test(subprocess.Popen([PROGRAM, "train", *where, "--quiet", *more], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.PIPE, text=True))


# Killed again and again at random moments, and resumed with one thread or two.
dice = random.Random(2026)
killed = stopped = series = 0
started = time.monotonic()
while killed < KILLS or stopped < STOPS:
    folder = HERE / f"series-{series}"
    series += 1
    longest = 0.3
    while True:
        kill = killed < KILLS and (stopped >= STOPS or dice.random() < 0.5)
        process = begin(folder, "--threads", str(dice.choice([1, 2])))
        try:
            process.wait(dice.uniform(0, longest))
        except subprocess.TimeoutExpired:
            sent = signal.SIGKILL if kill else dice.choice([signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
            process.send_signal(sent)
        error = process.communicate(timeout=TIMEOUT)[1]
        if process.returncode == 0:
            break
        if process.returncode == -signal.SIGKILL:
            killed += 1
        elif process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGUSR1):
            stopped += "resnet: stopped " in error
            assert "resnet: stopped " in error or "resnet: interrupted" in error, error  # before it began to train
        elif process.returncode in (-signal.SIGINT, -signal.SIGTERM, -signal.SIGUSR1):
            pass  # before it asked to be told of signals: nothing had begun
        else:
            raise AssertionError((process.returncode, error))
        longest = min(longest * 1.1, 3)  # so that every series ends
    expect_equal(folder, run("train", "--resume", folder.name, "--json", "--quiet"), "undisturbed", undisturbed)
    shutil.rmtree(folder)
print(f"{killed} kills and {stopped} stops in {series} runs, {time.monotonic() - started:.0f} s: "
      f"all ended as the undisturbed one")

# A terminal that is closed ends a run as Ctrl-C does; under nohup it goes on.
def closed_terminal(folder, *command):
    """The exit code of a command whose terminal is closed once the run has begun."""
    pid, ours = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    atexit.register(end, pid)
    metrics = HERE / folder / "metrics.csv"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        try:
            if select.select([ours], [], [], 0.01)[0]:
                os.read(ours, 1 << 16)  # else it would wait to be read
        except OSError:  # nohup writes elsewhere
            time.sleep(0.01)
    os.close(ours)
    status = os.waitpid(pid, 0)[1]
    atexit.unregister(end)
    return os.waitstatus_to_exitcode(status)


def end(pid):
    os.kill(pid, signal.SIGKILL)


LOUD = [word for word in RUN if word != "--quiet"]
code = closed_terminal("hung", PROGRAM, "train", *LOUD, "--epochs", "100000", "--out", "hung")
assert code == 128 + signal.SIGHUP, code
assert json.loads((HERE / "hung/result.json").read_text())["complete"] is False and (HERE / "hung/model.safetensors").exists()
assert closed_terminal("nohup", "nohup", PROGRAM, "train", *LOUD, "--epochs", "200", "--out", "nohup") == 0
assert json.loads((HERE / "nohup/result.json").read_text())["complete"]

# A stopped run: what the others need.
half = HERE / "half"
run("train", *STEADY, "--checkpoint-every", "1", "--steps", "12", "--out", "half")
before = files_of(half)

# What would be another run is refused; all of the run's files stay as they are.
for flags, says in ((["--lr", "0.1"], "has --lr 0.05, this one 0.1"),
                    (["--seed", "5"], "has --seed 0, this one 5"),
                    (["--augment", "none"], "has --augment flip, this one none"),
                    (["--schedule", "cosine"], "has --schedule constant, this one cosine"),
                    (["--tta", "flip"], "has --tta none, this one flip"),
                    (["--sampler", "balanced"], "has --sampler shuffled, this one balanced"),
                    (["--batch-size", "9"], "has --batch-size 8, this one 9"),
                    (["--isa", "avx2"], "this one avx2"),
                    (["--init", "nowhere.safetensors"], "has --init unset, this one"),
                    (["--dirac", "yes"], "has --dirac no, this one yes"),
                    (["--zero-gamma", "yes"], "has --zero-gamma no, this one yes"),
                    (["--steps", "3"], "has 12 steps; it may become longer, not shorter"),
                    (["--epochs", "1"], "it may become longer, not shorter"),
                    (["--checkpoint-every", "0"], "--checkpoint-every 0 cannot be given with --resume"),
                    (["--data", "idx:other"], "has other training examples"),
                    (["--config", "half/config.toml"], "--config cannot be given with --resume"),
                    (["--out", "elsewhere"], "--out cannot be given with --resume")):
    if flags == ["--isa", undisturbed["isa"]]:
        continue
    result = run("train", "--resume", "half", "--quiet", *flags, code=2, says=says)
    assert result.stderr.count("\n") == 2, result.stderr
    assert files_of(half) == before, (flags, "touched it")
run("train", "--resume", "half/model.safetensors", "--quiet", code=1, says="hint: give the folder, half")
for place, says in (("nowhere", "is no run's folder"), (".", "is no run's folder")):
    run("train", "--resume", place, "--quiet", code=1, says=says)

# The newest checkpoint is damaged: it is passed over and named, and the run ends as it should.
damaged = HERE / "damaged"
shutil.copytree(half, damaged)
newest = sorted((damaged / "checkpoints").iterdir())[-1]
newest.write_bytes(newest.read_bytes()[:-1])
REST = ["--steps", "0", "--json", "--quiet"]
result = run("train", "--resume", "damaged", *REST, says=f"passed over: damaged/checkpoints/{newest.name}")
assert "going on from damaged/checkpoints/step-" in result.stderr, result.stderr
expect_equal(damaged, result, "steady", steady)

# A run that was trained and has no checkpoint is not trained anew over what it left.
shutil.copytree(half, HERE / "early")
shutil.rmtree(HERE / "early/checkpoints")
for left in (["model.safetensors", "result.json"], ["result.json"]):
    before = files_of(HERE / "early")
    assert set(left) <= set(before), before
    result = run("train", "--resume", "early", *REST, "--epochs", "20", code=2,
                 says="early was trained, and its checkpoints are gone")
    assert result.stderr.count("\n") == 2 and "resnet train --config early/config.toml --out DIR" in result.stderr, result.stderr
    assert files_of(HERE / "early") == before, (left, "touched it")
    (HERE / "early" / left[0]).unlink()

# One that has left nothing begins anew, as the run that it was.
before = files_of(HERE / "early")
for flags, code, says in ((["--lr", "0.1"], 2, "has --lr 0.05, this one 0.1"),
                          (["--momentum", "0"], 2, "has --momentum 0.9, this one 0"),
                          (["--data", "idx:other"], 1, "has other examples now")):
    run("train", "--resume", "early", "--quiet", *flags, code=code, says=says)
    assert files_of(HERE / "early") == before, (flags, "touched it")
expect_equal(HERE / "early", run("train", "--resume", "early", *REST), "steady", steady)

# Two that resume one run: one of them is told.
shutil.copytree(half, HERE / "both")
first = start("train", "--resume", "both", *REST, "--epochs", 1000)
wait_until(first, lambda: has_lines(HERE / "both/metrics.csv", len((half / "metrics.csv").read_text().splitlines()) + 2))
run("train", "--resume", "both", *REST, code=1, says="another process is writing to both")
first.kill()
first.communicate(timeout=TIMEOUT)
expect_equal(half, run("train", "--resume", "half", *REST), "steady", steady)

# A finished run may become longer: as if it had been so long from the beginning.
six = json.loads(run("train", *STEADY, "--epochs", "6", "--json", "--out", "six").stdout)
longer = json.loads(run("train", "--resume", "steady", "--epochs", "6", "--json", "--quiet").stdout)
assert longer["weights_sha256"] == six["weights_sha256"] and longer["epochs"] == 6, (longer, six)
assert (HERE / "steady" / "metrics.csv").read_text() == (HERE / "six" / "metrics.csv").read_text()
assert "epochs = 6\n" in (HERE / "steady" / "config.toml").read_text()

# A run that had ended and becomes longer has not ended: its result is none until it has.
process = begin(HERE / "six", "--epochs", "100000")
metrics = HERE / "six" / "metrics.csv"
size = metrics.stat().st_size
wait_until(process, lambda: metrics.stat().st_size != size)
process.kill()
process.communicate()
assert not (HERE / "six/result.json").exists()

# A run that was killed has no model yet: its newest checkpoint stands in.
shutil.copytree(HERE / "steady", HERE / "killed")
(HERE / "killed" / "model.safetensors").unlink()
run("eval", "killed", says="note: killed has not ended; killed/checkpoints/step-")
newest = sorted((HERE / "killed/checkpoints").iterdir())[-1]
content = bytearray(newest.read_bytes())
content[-9] ^= 1  # of a number that is finite as before
newest.write_bytes(content)
run("eval", newest, code=1, says="its contents are not what was written")
said = run("eval", "killed", says=f"note: passed over: {newest.relative_to(HERE)}").stderr
assert newest.name not in said.split("stands in for its model")[0].splitlines()[-1], said

# Without checkpoints there are none.
run("train", *RUN, "--checkpoint-every", "0", "--out", "none")
assert not (HERE / "none" / "checkpoints").exists()
run("train", "--resume", "none", code=2, says="none was trained without checkpoints")

# A link in the model's place is not written through, and event files go on.
PLAIN = ["--data", "idx:own", "--resize", "32", "--channels", "8,16", "--blocks", "1,1"]
said = run("train", *PLAIN, "--tensorboard", "--out", "linked").stderr
assert "settings: the chapter's\n" in said, said
model, kept = HERE / "linked" / "model.safetensors", HERE / "kept.safetensors"
model.rename(kept)
model.symlink_to(kept)
before = kept.read_bytes()
run("train", "--resume", "linked", "--epochs", "11", "--quiet")
assert not model.is_symlink() and kept.read_bytes() == before != model.read_bytes()

# Nor is a pipe, which nobody reads.
model.unlink()
os.mkfifo(model)
run("train", "--resume", "linked", "--epochs", "12", "--quiet")
assert model.is_file() and model.stat().st_size > 1000

# What follows from another flag is not named in its place.
run("train", "--resume", "steady", "--precision", "bf16", "--epochs", "7", "--quiet", code=2, says="has --precision f32, this one bf16")
