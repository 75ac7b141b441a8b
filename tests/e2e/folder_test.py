#!/usr/bin/env python3
"""A run's folder and the world around it: two runs that want one folder, runs that are ended early, closed streams,
data of another content, paths as people type them."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib

from program import HERE, PROGRAM, TIMEOUT, ends_with_test, idx, png, put, put_small_idx, result_of, run, sanitized, start


def digest_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


put_small_idx("own")
NETWORK = ["--resize", "32", "--batch-size", "4", "--steps", "2", "--channels", "8,8", "--blocks", "1,1"]
SMALL = ["--data", "idx:own", *NETWORK, "--quiet"]
run("train", *SMALL, "--out", "first")

# Of two runs that begin together one gets the folder; the other leaves it alone.
for pair in range(20):
    out = HERE / f"pair-{pair}"
    if pair % 2 == 1:
        out.mkdir()  # by the user
    both = [start("train", *SMALL, "--seed", seed, "--json", "--out", out.name) for seed in (0, 1)]
    texts = [process.communicate(timeout=TIMEOUT) for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], (pair, codes, texts)
    winner = json.loads(texts[codes.index(0)][0])
    assert result_of(out) == winner, pair
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["seed"] == str(winner["seed"]), (pair, config)
    loser = texts[codes.index(1)][1]
    assert "another process is writing to" in loser or "already holds a run" in loser, loser

# What a run left that was killed before its first figures blocks nothing; a person's own config.toml does.
for name, files in (("config", ["config.toml"]), ("claimed", []), ("both", ["config.toml", "metrics.csv"])):
    (HERE / name).mkdir()
    for file in files:
        shutil.copy(HERE / "first" / file, HERE / name)
    if name == "claimed":
        (HERE / name / "config.toml").touch()
    if name == "both":
        (HERE / name / "metrics.csv").write_text("epoch,train_loss,train_acc,test_acc\n")
    run("train", *SMALL, "--out", name)
(HERE / "mine").mkdir()
(HERE / "mine" / "config.toml").write_text("epochs = 3  # my notes\n")
run("train", *SMALL, "--out", "mine", code=1, says="already holds a run (its config.toml)")
assert digest_of(HERE / "mine") == {"config.toml": b"epochs = 3  # my notes\n"}

# A run that cannot begin, here since no file may have more than 512 bytes, leaves what was there and no more. (None at all would
# end a program with ThreadSanitizer before its main().)
(HERE / "empty").mkdir()
for out in ("empty", "new"):
    full = subprocess.run(["sh", "-c", 'ulimit -f 1 && exec "$@"', "sh", PROGRAM, "train", *SMALL, "--out", out], check=False,
                          capture_output=True, text=True, timeout=TIMEOUT)
    assert full.returncode == 1 and "File too large" in full.stderr, full
assert not list((HERE / "empty").iterdir()) and not (HERE / "new").exists()


def start_large(out):
    """A run that has its folder, and a second or so to go before its first step."""
    process = start("train", "--data", "idx:own", "--model", "d2l_resnet50", "--resize", "64", "--batch-size", "4", "--out", out,
                    "--json", "--quiet")
    deadline = time.time() + TIMEOUT
    while time.time() < deadline and process.poll() is None and not (HERE / out / "config.toml").exists():
        time.sleep(0.001)
    return process


# Stopped while its data is being opened: one line, and nothing of it is there. A folder of large pictures, and a pipe without a
# writer's bytes.
put("large/a/0.png", png(bytes(3 * 2000 * 2000), 2000, 2000, level=1))
(HERE / "large/b").mkdir()
for i in range(200):
    os.link("large/a/0.png", f"large/{'ab'[i % 2]}/{i + 1}.png")
put("piped/train-labels-idx1-ubyte", idx([0, 1], 2))
os.mkfifo("piped/train-images-idx3-ubyte")


def looks_at_pictures(process):
    return len(os.listdir(f"/proc/{process.pid}/task")) > 1


def reads_pipe(_):
    try:
        writers.append(os.open("piped/train-images-idx3-ubyte", os.O_WRONLY | os.O_NONBLOCK))
    except OSError:  # nobody reads it yet
        return False
    return True


writers = []
opened = [("large", looks_at_pictures), ("idx:piped", reads_pipe)]
if sanitized() and sanitized()[0] == "__tsan_":  # which holds a signal back until read() returns, here never
    print("ThreadSanitizer: not stopped while a pipe is read")
    del opened[1]
for data, is_open in opened:
    for stop, code, seeds in ((signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 2)):
        process = start("train", data, *NETWORK, "--seeds", seeds, "--out", "cut", "--quiet")
        deadline = time.time() + TIMEOUT
        while time.time() < deadline and process.poll() is None and not is_open(process):
            time.sleep(0.001)
        process.send_signal(stop)
        answer, said = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, answer, said) == (code, "", "resnet: interrupted; no file is half-written\n"), (data, process.returncode, said)
        assert not (HERE / "cut").exists() and not list(HERE.parent.glob("cache/**/*")), data
shutil.rmtree(HERE / "large")

# Stopped before its first step: what was not measured is not zero, and an untrained network is not kept.
stopped = start_large("stopped")
stopped.send_signal(signal.SIGTERM)
answer, said = stopped.communicate(timeout=TIMEOUT)
answer = json.loads(answer)
assert stopped.returncode == 143 and answer["steps"] == 0 and answer["complete"] is False, answer
assert all(answer[key] is None for key in ("loss", "train_acc", "test_acc", "examples_per_second")), answer
assert said.splitlines()[-1] == "resnet: stopped before the first step: nothing was trained, and nothing is kept", said
assert not (HERE / "stopped").exists()
(HERE / "mine_empty").mkdir()
stopped = start_large("mine_empty")
stopped.send_signal(signal.SIGINT)
stopped.communicate(timeout=TIMEOUT)
assert stopped.returncode == 130 and not list((HERE / "mine_empty").iterdir()), stopped.returncode


def start_long(out):
    """A run that has done some steps, and has many to go."""
    process = start("train", "--data", "idx:own", *NETWORK, "--steps", "0", "--epochs", "1000000", "--out", out, "--quiet")
    metrics = HERE / out / "metrics.csv"
    deadline = time.time() + TIMEOUT
    while time.time() < deadline and process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 3):
        time.sleep(0.005)
    return process


# Stopped later: the last line says what was saved, and where.
process = start_long("long")
process.send_signal(signal.SIGINT)
said = process.communicate(timeout=TIMEOUT)[1].splitlines()
assert process.returncode == 130 and re.fullmatch(r"resnet: stopped after \d+ steps, saved in long; --resume goes on with it", said[-1]), said
run("eval", "long")
# A second, later signal: what it means is said.
process = start_large("twice")
process.send_signal(signal.SIGINT)
time.sleep(0.6)
if process.poll() is None:
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode != -signal.SIGINT or said.splitlines()[-1] == \
        "resnet: ended at once; what was not saved before is lost", said

# A run's folder that is removed or moved meanwhile: its model is not lost, nor is another folder that is there.
process = start_long("removed")
os.rename(HERE / "removed", HERE / "gone")
shutil.rmtree(HERE / "gone")
process.send_signal(signal.SIGINT)
said = process.communicate(timeout=TIMEOUT)[1]
assert process.returncode == 130 and "note: removed was moved or removed" in said, said
assert {"config.toml", "metrics.csv", "model.safetensors", "result.json"} <= digest_of(HERE / "removed").keys()
run("eval", "removed")
for name, given in (("moved", "moved"), ("completed", "completed/")):  # as a shell completes it
    process = start_long(given)
    os.rename(HERE / name, HERE / f"{name} away")
    (HERE / name).mkdir()
    (HERE / name / "notes").write_text("another's")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 1 and said.endswith(f"hint: the model is in {name}-2\n"), said
    assert digest_of(HERE / name) == {"notes": b"another's"}
    run("eval", f"{name}-2")

# Signals of one burst, as coreutils' timeout sends them, are one request: the run is saved.
burst = start_long("burst")
for stop in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
    burst.send_signal(stop)
    time.sleep(0.005)
burst.communicate(timeout=TIMEOUT)
assert burst.returncode in (130, 143), burst.returncode
assert {"model.safetensors", "result.json"} <= digest_of(HERE / "burst").keys()

# What ends at once leaves a folder that can be given again.
ended = start_large("ended")
ended.kill()
ended.communicate(timeout=TIMEOUT)
assert "model.safetensors" not in digest_of(HERE / "ended")
run("train", *SMALL, "--out", "ended")

# A picture for standard output that is a file stands behind what the file held.
(HERE / "all.svg").write_text("before\n")
with open(HERE / "all.svg", "ab") as output:
    subprocess.run([PROGRAM, "plot", "first", "--svg", "/dev/stdout"], stdout=output, check=True, timeout=TIMEOUT)
assert (HERE / "all.svg").read_text().startswith("before\n") and "<svg" in (HERE / "all.svg").read_text()

# What is read back has a file of its own, and what is printed is not in it.
with open(HERE / "out.safetensors", "wb") as output:
    subprocess.run([PROGRAM, "export", "first", "--safetensors", "/dev/stdout"], stdout=output, check=True, timeout=TIMEOUT)
run("export", "out.safetensors", "--safetensors", "again.safetensors")
with open(HERE / "out.onnx", "wb") as output:
    subprocess.run([PROGRAM, "export", "first", "--onnx", "/dev/stdout"], stdout=output, check=True, timeout=TIMEOUT)
run("export", "first", "--onnx", "named.onnx")
assert (HERE / "out.onnx").read_bytes() == (HERE / "named.onnx").read_bytes()
with tempfile.TemporaryFile(dir=HERE) as output:  # no name to be replaced
    subprocess.run([PROGRAM, "export", "first", "--safetensors", "/dev/stdout"], stdout=output, check=True, timeout=TIMEOUT)
    output.seek(0)
    assert len(output.read()) > 1000 and not list(HERE.glob("*deleted*"))
(HERE / "log").write_text("before\n")
with open(HERE / "log", "ab") as output:
    subprocess.run([PROGRAM, "export", "first", "--safetensors", "/dev/stdout"], stdout=output, check=True, timeout=TIMEOUT)
assert (HERE / "log").read_bytes().startswith(b"before\n")

# Whichever standard streams are closed: no file takes their place, neither while a run goes on nor at its end.
for closed in ("0<&-", "1>&-", "2>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"):
    out = HERE / ("closed " + closed.translate(str.maketrans("<>&", "___")))
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", PROGRAM, "train", "--data", "idx:own", *NETWORK]
    ended = subprocess.run([*command, "--out", out], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == (1 if "1>" in closed else 0), (closed, ended)
    for file in ("metrics.csv", "model.safetensors"):
        assert (out / file).read_bytes() == (HERE / "first" / file).read_bytes(), (closed, file)
    running = ends_with_test(subprocess.Popen([*command, "--steps", "0", "--epochs", "100000", "--out", f"{out} running"],
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    metrics = HERE / f"{out} running" / "metrics.csv"
    deadline = time.time() + TIMEOUT
    while time.time() < deadline and (not metrics.exists() or metrics.read_text().count("\n") < 20):
        time.sleep(0.01)
    running.kill()
    running.wait()
    lines = metrics.read_text().splitlines()[1:]
    assert all(re.fullmatch(r"[\d.e-]+,[\d.e-]+,[\d.e-]+,[\d.e-]*", line) for line in lines), (closed, lines[:20])

# A run means the same data from everywhere, and is told where its content has changed.
figures = json.loads(run("eval", "first", "--json").stdout)
elsewhere = HERE / "elsewhere"
put_small_idx(elsewhere / "own", 5)  # other data of the same name
assert json.loads(run("eval", "../first", "--json", cwd=elsewhere).stdout) == figures
assert figures["data"] == f"idx:{HERE}/own", figures
again = json.loads(run("train", "--config", "../first/config.toml", "--out", "again", "--json", "--quiet", cwd=elsewhere).stdout)
assert again["weights_sha256"] == result_of("first")["weights_sha256"]
os.rename(HERE / "own", HERE / "kept")
put_small_idx("own", 5)
run("eval", "first", code=1, says="has other test examples than the run in first had")
run("train", "--config", "first/config.toml", "--out", "never", code=1, says="has other examples now than the run of first/config")
assert not (HERE / "never").exists()
note = run("eval", "first", "--data", "idx:own", "--json", says="note: idx:own has other test examples").stdout
assert json.loads(note)["examples"] == 8
assert "note" not in run("eval", "first", "--data", "idx:kept").stderr
run("train", "--config", "first/config.toml", "--data", "idx:own", "--out", "other", "--quiet")
shutil.rmtree(HERE / "own")
os.rename(HERE / "kept", HERE / "own")
# A limit is part of what a run used.
run("train", *SMALL, "--limit-test", 4, "--out", "limited")
limited = json.loads(run("eval", "limited", "--json").stdout)  # the run's own figures
assert limited["examples"] == 4, limited
assert limited["test_acc"] == result_of("limited")["test_acc"], limited
assert json.loads(run("eval", "limited", "--limit-test", 0, "--json").stdout)["examples"] == 8
# A picture goes to whatever reads it, and a terminal that is too narrow is told.
drawn = subprocess.run([PROGRAM, "plot", "first", "--svg", "/dev/stdout"], stdout=subprocess.PIPE, check=True)
assert drawn.stdout.startswith(b"<svg") and drawn.stdout.endswith(b"</svg>\n"), drawn
os.environ["COLUMNS"] = "20"
run("plot", "first", code=1, says="a plot needs 24 columns, the terminal has 20\nhint: make it wider")
del os.environ["COLUMNS"]
run("plot", *63 * ["first"], code=2, says="at most 62 runs apart")

# Names that are not UTF-8: as a run's folder they are none of config.toml's business, as data's they are refused.
odd = os.fsdecode(b"odd\xff")
run("train", *SMALL, "--out", odd)
config = (HERE / odd / "config.toml").read_text(encoding="utf-8")
assert "\nout = " not in config, config
run("eval", odd)
run("plot", odd, "--svg", HERE / "odd.svg")
os.rename(HERE / "own", HERE / os.fsdecode(b"own\xff"))
refused = run("train", "--data", os.fsdecode(b"idx:own\xff"), *NETWORK, "--out", "never", "--quiet", code=2, says="is not UTF-8")
assert "--data: the path" in refused.stderr and "hint: give a link to it" in refused.stderr, refused
assert not (HERE / "never").exists()
json.loads(run("eval", "first", "--data", os.fsdecode(b"idx:own\xff"), "--json").stdout)
os.rename(HERE / os.fsdecode(b"own\xff"), HERE / "own")

# A ~ that the shell did not expand.
TILDE = "hint: the shell expands ~ only at the beginning of a word: write $HOME in its place\n"
for arguments in (["train", *SMALL, "--out=~/run"], ["train", "--data", "idx:~/own", "--out", "never"],
                  ["train", "--data-dir=~/own", "--out", "never"], ["train", "--data=cifar10", "--data-dir=~/own"],
                  ["train", "--config=~/config.toml"], ["eval", "~/run"], ["plot", "~/run"], ["plot", "first", "--svg=~/a.svg"],
                  ["summary", "--svg=~/a.svg"]):
    tilde = run(*arguments, code=1)
    assert tilde.stderr.endswith(TILDE), (arguments, tilde.stderr)
assert not (HERE / "~").exists() and not (HERE / "never").exists()
print("ok")
