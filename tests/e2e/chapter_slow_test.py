#!/usr/bin/env python3
"""Twenty steps of the chapter's own setting (96x96, batch 256, lr 0.05): one hash for 1, 2, 3 and 4 threads and for
two runs of one seed, and `eval` of the saved file gives exactly the accuracy that training printed."""
import json

from program import result_of, run

results = []
for threads in (1, 2, 3, 4, 2):
    out = f"run{len(results)}"
    run("train", "--steps", 20, "--limit-test", 500, "--threads", threads, "--out", out, "--quiet")
    results.append(result_of(out))
    print(threads, "threads:", results[-1]["weights_sha256"], results[-1]["test_acc"])
assert [r["steps"] for r in results] == [20] * 5, results
assert len({r["weights_sha256"] for r in results}) == 1, "the bits depend on the threads"
figures = json.loads(run("eval", "run0", "--limit-test", 500, "--json").stdout)
assert figures["test_acc"] == results[0]["test_acc"] and figures["examples"] == 500, figures
