#!/usr/bin/env python3
"""A run is looked at while it trains: eval, predict, export, plot and report read whole files, of its newest checkpoint
where there is no model yet; and that one answers as the model that comes of it."""
import json
import shutil
import time

from program import HERE, png, put, put_noise, result_of, run, start

put_noise("data", 64)
put("a.png", png(bytes(range(256)), 16, 16))
DATA = ["--data", "idx:data"]
TRAIN = ["train", *DATA, "--resize", "16", "--batch-size", "8", "--model", "resnet18", "--channels", "8,8", "--blocks", "1,1",
         "--momentum", "0.9", "--ema", "0.9", "--checkpoint-every", "4", "--quiet"]
LOOKS = {"eval": [*DATA, "--json"], "predict": ["a.png", "--json"], "export": ["--onnx", "a.onnx"], "plot": [], "report": []}

training = start(*TRAIN, "--epochs", "100000", "--out", "watched")
while not list(HERE.glob("watched/checkpoints/step-*")) or not (HERE / "watched/metrics.csv").exists():
    assert training.poll() is None, training.communicate()
    time.sleep(0.01)
steps = set()
for _ in range(4):
    for command, more in LOOKS.items():
        looked = run(command, "watched", *more)
        if command in ("eval", "predict", "export", "report"):
            assert "note: watched has not ended; watched/checkpoints/step-" in looked.stderr, (command, looked.stderr)
            assert "no answers" not in looked.stderr, looked.stderr
            steps.add(looked.stderr.split("step-")[1].split(".")[0])
        if command == "eval":
            figures = json.loads(looked.stdout)
            assert sum(figures["confusion"]) == 64, figures
    page = (HERE / "watched/report.html").read_text()
    assert page.rstrip().endswith("</html>"), len(page)
assert len(steps) > 1, steps  # it went on meanwhile
assert training.poll() is None, training.communicate()
training.terminate()
training.communicate()
assert training.returncode == 143, training.returncode

# The last checkpoint holds the averaged network of the model, and what momentum keeps is not in the way.
run(*TRAIN, "--epochs", "2", "--out", "ended")
wanted = json.loads(run("eval", "ended", *DATA, "--json").stdout)
last = max(HERE.glob("ended/checkpoints/step-*"))
(HERE / "ended/model.safetensors").unlink()
for model in ("ended", last):
    given = json.loads(run("eval", model, *DATA, "--json").stdout)
    assert {**given, "run": 0} == {**wanted, "run": 0}, (given, wanted)
run("export", last, "--safetensors", "whole.safetensors")
# A training begins with it as with the model's own file.
hashes = set()
for number, model in enumerate((last, "whole.safetensors")):
    run(*TRAIN, "--steps", "1", "--init", model, "--out", f"from-{number}")
    hashes.add(result_of(f"from-{number}")["weights_sha256"])
assert len(hashes) == 1, hashes
# A run that became longer and was killed has a model of before: its newest checkpoint stands in.
run(*TRAIN, "--epochs", "2", "--out", "longer")
had = max(HERE.glob("longer/checkpoints/step-*"))
training = start("train", "--resume", "longer", "--epochs", "100000", "--quiet")
while max(HERE.glob("longer/checkpoints/step-*")) == had:
    assert training.poll() is None, training.communicate()
    time.sleep(0.01)
training.kill()
training.communicate()
run("eval", "longer", *DATA, says="note: longer has gone on since its model was saved; longer/checkpoints/step-")
shutil.rmtree(HERE / "ended/checkpoints")
run("eval", "ended", *DATA, code=1, says="ended holds no model.safetensors")
