#!/usr/bin/env python3
"""A run from end to end: the last two lines, the run's folder, the same accuracy from the file, the same bits
for any number of threads, repetition from config.toml, and Ctrl-C."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import xml.etree.ElementTree

from program import HERE, PROGRAM, TIMEOUT, ends_with_test, put_small_idx, result_of, run, start

CHAPTER = ["--limit-train", "320", "--limit-test", "200", "--batch-size", "64", "--resize", "32"]


# The chapter's two lines end the output, nothing else is on stdout, and plain lines an epoch are on stderr.
first = run("train", *CHAPTER, "--epochs", 2, "--out", "first")
lines = first.stdout.splitlines()
assert len(lines) == 2, first.stdout
assert re.fullmatch(r"loss \d+\.\d{3}, train acc [01]\.\d{3}, test acc [01]\.\d{3}", lines[0]), lines[0]
assert re.fullmatch(r"\d+\.\d examples/sec on cpu", lines[1]), lines[1]
assert "\r" not in first.stderr and "\x1b" not in first.stderr, "control characters where stderr is no terminal"
assert sum(re.match(r"epoch \d/2  loss ", line) is not None for line in first.stderr.splitlines()) == 2, first.stderr
assert {p.name for p in (HERE / "first").iterdir()} == {"config.toml", "metrics.csv", "curves.svg", "result.json",
                                                        "model.safetensors", "checkpoints"}
result = result_of("first")
assert set(result) >= {"loss", "train_acc", "test_acc", "examples_per_second", "device", "seed", "epochs", "threads",
                       "weights_sha256", "complete", "version", "libraries", "plan_sha256"}
assert result["complete"] is True and result["epochs"] == 2 and result["steps"] == 10
xml.etree.ElementTree.parse(HERE / "first" / "curves.svg")
events = run("train", *CHAPTER, "--epochs", 1, "--tensorboard", "--quiet", "--out", "events") and list((HERE / "events").glob("events.out.tfevents.*"))
assert len(events) == 1 and b"brain.Event:2" in events[0].read_bytes()[:64] and b"loss/train" in events[0].read_bytes()
points = (HERE / "first" / "metrics.csv").read_text().splitlines()
assert points[0] == "epoch,train_loss,train_acc,test_acc" and len(points) == 1 + 2 * 5, points

# The file alone gives exactly the accuracy that training printed.
figures = json.loads(run("eval", "first", "--limit-test", 200, "--json").stdout)
assert figures["test_acc"] == result["test_acc"] and figures["examples"] == 200, figures
table = run("eval", "first/model.safetensors", "--limit-test", 200).stdout
assert "Ankle boot" in table and f"test acc {result['test_acc']:.4f}" in table

# RUN's folder says which data set it was trained for.
put_small_idx("own")
run("train", "--data", "idx:own", "--resize", 40, "--batch-size", 4, "--steps", 2, "--channels", "8,8", "--blocks", "1,1",
    "--out", "own_run", "--quiet")
own = json.loads(run("eval", "own_run", "--json").stdout)
assert own["examples"] == 8 and own["test_acc"] == result_of("own_run")["test_acc"], own

# One hash for any number of threads, for a repeated run, and for the run that its config.toml describes.
for threads in (1, 2, 3, 4):
    run("train", *CHAPTER, "--epochs", 4, "--steps", 20, "--threads", threads, "--out", f"t{threads}", "--quiet")
hashes = {result_of(f"t{threads}")["weights_sha256"] for threads in (1, 2, 3, 4)}
assert len(hashes) == 1, hashes
assert result_of("t3")["threads"] == 3 and result_of("t3")["steps"] == 20
again = run("train", "--config", "first/config.toml", "--out", "again", "--json", "--quiet")
assert json.loads(again.stdout)["weights_sha256"] == result["weights_sha256"]
other = run("train", *CHAPTER, "--epochs", 2, "--seed", 1, "--out", "other", "--json", "--quiet")
assert json.loads(other.stdout)["weights_sha256"] != result["weights_sha256"], "the seed changes nothing"

# Ctrl-C finishes the step and saves.
with open(HERE / "stderr", "w", encoding="utf-8") as stderr:
    process = ends_with_test(subprocess.Popen([PROGRAM, "train", *CHAPTER, "--epochs", "1000", "--out", "stopped"], stdout=subprocess.PIPE,
                                              stderr=stderr, text=True))
    deadline = time.time() + TIMEOUT
    metrics = HERE / "stopped" / "metrics.csv"  # its first line is there before the first step
    while time.time() < deadline and process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 2):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT)
assert process.returncode == 130, process.returncode
stopped = result_of("stopped")
assert stopped["complete"] is False and stopped["steps"] >= 1, stopped
run("eval", "stopped", "--limit-test", 50)

# Who watched the progress may leave: the run goes on. A stdout that takes nothing is an error.
watched = start("train", *CHAPTER, "--epochs", "2", "--out", "watched")
watched.stderr.close()
assert re.match(r"loss ", watched.communicate(timeout=TIMEOUT)[0]) and watched.returncode == 0, watched.returncode
assert result_of("watched")["weights_sha256"] == result["weights_sha256"] and result_of("watched")["complete"] is True
with open("/dev/full", "w", encoding="utf-8") as full:
    for words in (["summary"], ["plan", "--blocks", "1", "--channels", "4"], ["--help"], ["help", "train"], []):
        lost = subprocess.run([PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert lost.returncode == 1 and "could not be written to stdout" in lost.stderr, lost
    assert subprocess.run([PROGRAM, "trian"], stderr=full, check=False).returncode == 2

# Summary, plan, plot.
walk = run("summary", "--model", "d2l_resnet18", "--input", "1x1x224x224").stdout.splitlines()
assert [line.split("output shape:\t")[1] for line in walk[:8]] == [
    "[1, 64, 56, 56]", "[1, 64, 56, 56]", "[1, 128, 28, 28]", "[1, 256, 14, 14]", "[1, 512, 7, 7]", "[1, 512, 1, 1]",
    "[1, 512]", "[1, 10]"], walk
assert [line.split()[0] for line in walk[:8]] == ["Sequential"] * 5 + ["AdaptiveAvgPool2d", "Flatten", "Linear"]
assert "11,178,378 parameters" in walk[8]
assert "1.0.conv1" in run("summary", "--depth", "layer", "--svg", "net.svg").stdout
xml.etree.ElementTree.parse(HERE / "net.svg")
assert "conv_forward" in run("plan", "--input", "4x1x32x32").stdout
step, answer, apart = (run("plan", "--input", "4x1x32x32", *flags).stdout for flags in ((), ("--mode", "eval"), ("--no-fuse",)))
assert "conv_weight_gradient" in step and "gradient" not in answer and len(apart.splitlines()) > len(step.splitlines()) > len(answer.splitlines())
assert "cudnn_forward_bf16" in run("plan", "--input", "4x1x32x32", "--device", "cuda:sm_90", "--precision", "bf16").stdout
run("plot", "first", "other", "--svg", "two.svg")
run("plot", "first", "other", "--svg", "first/metrics.csv", code=2, says="is read, and would be lost")
xml.etree.ElementTree.parse(HERE / "two.svg")
bench = json.loads(run("bench", "train", "--input", "8x1x32x32", "--steps", 2, "--check", "--json").stdout)
assert set(bench) >= {"examples_per_second", "step_ms", "peak_gflops", "direct_limit_examples_per_second",
                      "fraction_of_direct_limit", "arena_bytes", "peak_rss_bytes", "threads", "isa", "timed"}, bench
assert bench["timed"] == "one by one", bench
assert set(bench["step_ms"]) == {"median", "min", "max"}
assert bench["check"]["of"] == "gradient" and bench["check"]["l2_difference"] <= bench["check"]["tolerance"], bench
# One image whose last maps are one pixel: no training, but an evaluation.
infer = json.loads(run("bench", "infer", "--input", "1x1x32x32", "--steps", 2, "--check", "--json").stdout)
assert infer["work"] == "infer" and 0 < infer["step_ms"]["min"], infer
assert infer["check"]["of"] == "output" and 0 < infer["check"]["l2_difference"] <= infer["check"]["tolerance"], infer
layers = json.loads(run("bench", "train", "--layers", "--input", "8x1x32x32", "--steps", 2, "--json").stdout)
assert layers["memory_gbytes_per_second"] > 0 and layers["peak_gflops"] > 0, layers
stem = [call for call in layers["calls"] if call["node"] == "0.0"]
assert [call["op"] for call in stem] == ["conv2d_pooled", "conv2d_pooled_weight_gradient"], stem
assert all(call["ms"] > 0 and call["direct_flops"] == 2 * 8 * 64 * 16 * 16 * 49 for call in stem), stem
table = run("bench", "train", "--layers", "--input", "8x1x32x32", "--steps", 1).stdout.splitlines()
assert table[0].split()[:3] == ["node", "kernel", "ms"] and table[-1].startswith("peak "), table
# bf16 where the processor has it: other bits, the same job, the same bits for any number of threads.
if bench["isa"] == "avx512_bf16":
    hashes = set()
    for threads in (1, 3):
        run("train", *CHAPTER, "--epochs", 1, "--precision", "bf16", "--threads", threads, "--out", f"half-{threads}")
        hashes.add(result_of(f"half-{threads}")["weights_sha256"])
    assert len(hashes) == 1, hashes
    assert "precision = 'bf16'" in (HERE / "half-1" / "config.toml").read_text()
    half = json.loads(run("eval", "half-1", "--precision", "bf16", "--limit-test", 200, "--json").stdout)
    assert half["test_acc"] == result_of("half-1")["test_acc"], half
    assert "_bf16" in run("plan", "--input", "4x1x32x32", "--precision", "bf16").stdout
    # The peak is that of the bf16 instruction: twice that of f32 on a Zen, half of it on an Intel without AMX.
    # Other work on the machine takes from single measurements, less from the best of some in turn.
    peaks = {"f32": 0, "bf16": 0}
    for n, precision in enumerate(12 * tuple(peaks)):
        if n >= 8 and n % 2 == 0 and not 1 / 1.3 < peaks["bf16"] / peaks["f32"] < 1.3:
            break
        wide = json.loads(run("bench", "train", "--input", "8x1x32x32", "--steps", 1, "--precision", precision,
                              "--json").stdout)
        assert wide["precision"] == precision, wide
        peaks[precision] = max(peaks[precision], wide["peak_gflops"])
    assert not 1 / 1.3 < peaks["bf16"] / peaks["f32"] < 1.3, peaks
else:
    print("bf16 not run: this processor has", bench["isa"])

for command, images in (("summary", "1x1x96x96"), ("plan", "256x1x96x96")):
    assert images in run(command, "--help").stdout, command
for named in ("RESNET_CUDNN_DIR", "summary.json", "report.html"):
    assert named in run("manual", "man").stdout, named
COMMANDS = re.findall(r"^  ([a-z]+) ", run("--help").stdout.split("Subcommands:")[1], re.MULTILINE)
assert {"train", "serve", "plot"} <= set(COMMANDS) and len(COMMANDS) >= 13, COMMANDS
for command in COMMANDS:
    assert "--" in run(command, "--help").stdout

# The manual and the completions name every command and flag that the help does.
for form in ("man", "bash", "zsh", "fish"):
    manual = run("manual", form).stdout.replace("\\-", "-")
    for command in COMMANDS:
        assert command in manual, (form, command)
        for flag in re.findall(r"--([a-z0-9-]+)", run(command, "--help").stdout.split("resnet COMMAND")[0]):
            assert re.search(rf"(--|-l ){flag}\b", manual), (form, command, flag)
# zsh takes one positional for all the rest, and no more.
for part in run("manual", "zsh").stdout.split("_arguments")[1:]:
    assert part.count("'*:") <= 1, part
# Flags that only some measurements take say so.
listed = {line.split()[0]: line for line in run("bench", "--help").stdout.splitlines() if line.startswith("  --")}
for flag in listed.keys() - {"--json"}:
    modes = re.search(r"\(([a-z, ]+)\)$", listed[flag])
    assert modes, listed[flag]
    for mode in {"train", "infer", "loader"} - set(modes[1].split(", ")):
        value = [] if flag in ("--check", "--layers") else {"--isa": ["avx2"], "--precision": ["f32"], "--block": ["basic"],
                                                            "--stem": ["small"], "--input": ["4x1x32x32"],
                                                            "--model": ["resnet18"]}.get(flag, ["32"])
        run("bench", mode, flag, *value, code=2)
(HERE / "resnet.bash").write_text(run("manual", "bash").stdout)
COMPLETE = """source ./resnet.bash
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _resnet; echo "${COMPREPLY[@]}"; }
complete_words resnet su
complete_words resnet train --limit-
complete_words resnet train --model d2l_resnet1
complete_words resnet bench l
complete_words resnet help pl
complete_words resnet he
complete_words resnet import net.s
complete_words resnet train firs
"""
completed = subprocess.run(["bash", "-c", COMPLETE], capture_output=True, text=True, check=True).stdout.splitlines()
assert completed == ["summary", "--limit-train --limit-test", "d2l_resnet18 d2l_resnet101 d2l_resnet152", "loader",
                     "plan plot", "help", "net.svg", "first"], completed

# The chapter as a program: its two blocks, its shape walk, its training on the first eight examples.
chapter = subprocess.run([pathlib.Path(os.environ["RESNET_EXAMPLES_DIR"]) / "chapter", "8"], capture_output=True, text=True,
                         timeout=TIMEOUT, check=True).stdout.splitlines()
assert chapter[:2] == ["[4,3,6,6]", "[4,6,3,3]"], chapter
assert chapter[2:10] == walk[:8], chapter
assert re.fullmatch(r"loss \d+\.\d{3}, train acc [01]\.\d{3}, test acc [01]\.\d{3}", chapter[-2]), chapter
assert chapter[-1].endswith("examples/sec on cpu"), chapter
# Ctrl-C: it prints what it has, and saves.
(HERE / "chapter.safetensors").unlink()
with subprocess.Popen([pathlib.Path(os.environ["RESNET_EXAMPLES_DIR"]) / "chapter", "64"], stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True) as stopped:
    assert stopped.stderr.readline(), "a line of progress"
    stopped.send_signal(signal.SIGINT)
    printed = stopped.communicate(timeout=TIMEOUT)[0]
assert stopped.returncode == 0 and "examples/sec on cpu" in printed and (HERE / "chapter.safetensors").exists(), printed
print("ok")
