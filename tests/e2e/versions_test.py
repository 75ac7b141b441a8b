#!/usr/bin/env python3
"""Files that earlier versions wrote are read, and mean what they meant: their answers, their accuracy, their runs."""
import json
import re
import shutil

from program import HERE, SOURCE, result_of, run

ISAS = ["avx2", "avx512"]
OWN_ISA = re.search("^instruction set: ([a-z0-9]*)", run("--version").stdout, re.MULTILINE)[1]  # of f32


def metadata_of(file):
    content = file.read_bytes()
    return json.loads(content[8:8 + int.from_bytes(content[:8], "little")])["__metadata__"]


kept = sorted((SOURCE / "tests/golden/files").iterdir())
assert kept, "no files of earlier versions"
for version in kept:
    shutil.copytree(version, HERE / version.name)
    then = json.loads((version / "expected.json").read_text())
    model, picture = f"{version.name}/model.safetensors", f"{version.name}/picture.pgm"

    # The answers that the program of that time gave: to the last digits, which may differ by instruction set.
    now, old = json.loads(run("predict", model, picture, "--json").stdout)[0]["top"], then["predict"]["top"]
    assert [c["label"] for c in now] == [c["label"] for c in old], (version, now)
    assert all(abs(a["probability"] - b["probability"]) < 1e-5 for a, b in zip(now, old, strict=True)), (version, now, old)
    figures = json.loads(run("eval", model, "--data", f"idx:{version.name}/data", "--json").stdout)
    assert figures["examples"] == then["eval"]["examples"] and figures["test_acc"] == then["eval"]["test_acc"], figures
    assert abs(figures["loss"] - then["eval"]["loss"]) < 1e-5, figures

    # The record of a run: its curves and figures.
    figures = json.loads((version / "record/result.json").read_text())
    run("report", f"{version.name}/record", "--out", "record.html", says="has no config.toml yet")
    page = (HERE / "record.html").read_text()
    begin = page.index('id="data">') + len('id="data">')
    told = json.loads(page[begin:page.index("</script>", begin)])["runs"][0]
    assert abs(told["result"]["test_acc"] - figures["test_acc"]) < 1e-5 and told["curves"], told
    run("plot", f"{version.name}/record")

    # A run goes on from its checkpoint, with its settings, to the end that it had.
    if (version / "run").is_dir():
        config = HERE / version.name / "run" / "config.toml"
        config.write_text(config.read_text().replace("@HERE@", str(HERE / version.name)))
        newest = max((version / "run/checkpoints").iterdir())
        isa = json.loads(metadata_of(newest)["resnet.facts"])["EngineOptions::isa"]
        if ISAS.index(isa) > ISAS.index(OWN_ISA):
            run("train", "--resume", f"{version.name}/run", code=2, says=f"has --isa {isa}, this one {OWN_ISA}")
            continue
        said = run("train", "--resume", f"{version.name}/run", *([] if isa == OWN_ISA else ["--isa", isa])).stderr
        assert "epoch 2/2" in said and "epoch 1/2" not in said, said
        result = result_of(f"{version.name}/run")
        assert result["complete"] and abs(result["loss"] - then["train"]["loss"]) < 1e-4, (version, result, then)
        assert "<svg" in (HERE / version.name / "run" / "curves.svg").read_text()
