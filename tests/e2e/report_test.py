#!/usr/bin/env python3
"""`resnet report`: where its page goes, what it says of runs without a model, without their data, or damaged. What the page
looks like, report_slow_test.py asks a browser."""
import json
import shutil

from program import HERE, put_noise, run

put_noise("data", 40)
SMALL = ["--data", "idx:data", "--resize", 16, "--batch-size", 8, "--channels", "8", "--blocks", "1", "--quiet"]
run("train", *SMALL, "--epochs", 2, "--seeds", 2, "--out", "two")
run("train", *SMALL, "--epochs", 1, "--out", "one")


def page_of(path):
    text = (HERE / path).read_text()
    begin = text.index('id="data">') + len('id="data">')
    return json.loads(text[begin:text.index("</script>", begin)])


# A page in the run's folder, with the figures of eval; of several beside the caller, or where he wants it.
assert run("report", "one").stdout == "one/report.html\n"
one = page_of("one/report.html")["runs"][0]
figures = json.loads(run("eval", "one", "--json").stdout)
assert abs(one["evaluation"]["accuracy"] - figures["test_acc"]) < 1e-5 and one["result"]["complete"]
assert abs(one["evaluation"]["calibration"] - figures["calibration_error"]) < 1e-5
assert sum(cell[2] for cell in one["evaluation"]["cells"]) == figures["examples"]
assert one["flops"] > 0 and "peak" not in one, "nothing is measured unasked"
assert ["lr", "0.05"] in one["settings"]
# A run's folder may be a stranger's: a link in it is replaced, and a number below the least one is one.
shutil.copytree(HERE / "one", HERE / "stranger")
(HERE / "victim").write_text("untouched")
for name in ("report.html", "metrics.csv"):
    (HERE / "stranger" / name).unlink()
    (HERE / "stranger" / name).symlink_to(HERE / "victim")
(HERE / "stranger" / "metrics.csv").unlink()
(HERE / "stranger" / "metrics.csv").write_text((HERE / "one" / "metrics.csv").read_text() + "2,5e-324,0.5,0.5\n")
assert run("report", "stranger").stdout == "stranger/report.html\n"
assert (HERE / "victim").read_text() == "untouched" and page_of("stranger/report.html")["runs"][0]["result"]["complete"]
assert run("report", "two").stdout == "two/report.html\n"
assert [of["name"] for of in page_of("two/report.html")["runs"]] == ["seed-0", "seed-1"]
assert run("report", "one", "two").stdout == "report.html\n" and len(page_of("report.html")["runs"]) == 3
assert run("report", "two", "--out", "elsewhere.html", "--peak").stdout == "elsewhere.html\n"
assert all(of["peak"] > 0 for of in page_of("elsewhere.html")["runs"])
assert len(page_of("elsewhere.html")["sets"]) == 1, "two runs of the same data share its pictures"

# Checkpoints that cannot be read are not needed.
shutil.copytree(HERE / "one", HERE / "odd")
shutil.rmtree(HERE / "odd/checkpoints", ignore_errors=True)
(HERE / "odd/checkpoints").write_text("")
run("report", "odd")

# Beside another processor's speed this one's peak would say nothing.
shutil.copytree(HERE / "one", HERE / "abroad")
result = json.loads((HERE / "abroad/result.json").read_text())
(HERE / "abroad/result.json").write_text(json.dumps(result | {"cpu_model": "Another Processor"}))
run("report", "abroad", "--peak", says="abroad ran on Another Processor, whose peak is not measured here")
assert "peak" not in page_of("abroad/report.html")["runs"][0]

# Of a run that diverged there are curves.
run("train", *SMALL, "--epochs", 2, "--lr", "1e30", "--out", "diverged", code=1)
run("report", "diverged", says="not finite")
assert "evaluation" not in page_of("diverged/report.html")["runs"][0]

# A run that goes on, and data that is elsewhere: said in a line, and the page is there.
shutil.copytree(HERE / "one", HERE / "going")
for name in ("result.json", "model.safetensors"):
    (HERE / "going" / name).unlink()
run("report", "going", says="note: going has not ended; going/checkpoints/step-")
assert "evaluation" in page_of("going/report.html")["runs"][0]
shutil.rmtree(HERE / "going/checkpoints")
run("report", "going", says="note: going has no model.safetensors yet; the page of it has no answers and no pictures")
assert "evaluation" not in page_of("going/report.html")["runs"][0]
(HERE / "data").rename(HERE / "moved")
run("report", "one", says="--data says where it is now")
assert "evaluation" not in page_of("one/report.html")["runs"][0] and page_of("one/report.html")["sets"] == []
run("report", "one", "--data", "idx:moved")
assert "evaluation" in page_of("one/report.html")["runs"][0]
put_noise("data", 40, seed=1)
run("report", "one", says="has other test examples than the run of one had")
run("report", "one", "--data", "idx:data", code=1, says="has other test examples than the run of one had")

# A precision that this machine lacks: the page goes without answers, unless another one is asked for.
shutil.copytree(HERE / "one", HERE / "rounded")
config = (HERE / "rounded" / "config.toml").read_text()
(HERE / "rounded" / "config.toml").write_text(config.replace("precision = 'f32'", "precision = 'tf32'"))
assert "tf32" in (HERE / "rounded" / "config.toml").read_text()
(HERE / "data").rename(HERE / "other")
(HERE / "moved").rename(HERE / "data")
run("report", "rounded", "one", says="--precision f32 may do")
assert ["evaluation" in of for of in page_of("report.html")["runs"]] == [False, True]
run("report", "rounded", "--precision", "f32")
assert "evaluation" in page_of("rounded/report.html")["runs"][0]
(HERE / "data").rename(HERE / "moved")
(HERE / "other").rename(HERE / "data")
# Too many runs are refused before any is evaluated; a run's own file is not written over.
for seed in range(33):
    shutil.copytree(HERE / "one", HERE / "many" / f"seed-{seed}")
shutil.copy(HERE / "two" / "config.toml", HERE / "many")
said = run("report", "many", code=2, says="a page shows at most 32 runs, not 33")
assert said.stderr.count("\n") == 2, said.stderr
run("report", "one", "--out", "one/metrics.csv", "--data", "idx:moved", code=2, says="is read, and would be lost")

# No runs, and damaged ones: one line of what, one of hint.
(HERE / "empty").mkdir()
(HERE / "damaged").mkdir()
shutil.copy(HERE / "one" / "metrics.csv", HERE / "damaged")
(HERE / "damaged" / "result.json").write_text('{"loss": "high"}')
for path, says in (("nowhere", "there is no file or folder 'nowhere'"), ("empty", "empty holds no metrics.csv"),
                   ("one/result.json", "it is another file of a run: give one"),
                   ("damaged", "damaged/result.json: 'loss' is not what a result has there")):
    assert run("report", path, code=1, says=says).stderr.count("\n") == 2, path
assert not (HERE / "empty" / "report.html").exists() and not (HERE / "damaged" / "report.html").exists()
run("report", "one", "--out", "nowhere/page.html", "--data", "idx:moved", code=1, says="nowhere/page.html")
