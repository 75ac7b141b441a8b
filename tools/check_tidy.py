#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over src/ and examples/ with the compile commands of a build folder.

Usage: check_tidy.py BUILD_FOLDER [PART_OF_A_PATH...]
Prints the findings of each file; exit code 1 if there are any, 77 (skipped) without clang-tidy.
"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: check_tidy.py BUILD_FOLDER [PART_OF_A_PATH...]")
    build, parts = Path(sys.argv[1]), sys.argv[2:]
    tidy = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if tidy is None:
        print("clang-tidy is not installed; nothing checked")
        return 77
    # All of them: clang-tidy takes the command of a neighbour for a source that is compiled as a part of one unit.
    sources = [str(path) for folder in ("src", "examples") for path in (ROOT / folder).rglob("*.cpp")]
    files = sorted(file for file in sources if not parts or any(part in file for part in parts))

    def run(file):
        return subprocess.run(
            [tidy, "-p", str(build), "--quiet", f"--header-filter=^{ROOT}/(src|include|examples)/",
             "--extra-arg=-Wno-unknown-warning-option", file],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    bad = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for file, result in zip(files, pool.map(run, files)):
            if result.returncode != 0 or result.stdout.strip():
                bad += 1
                print(result.stdout.strip() or result.stderr.strip(), flush=True)
    print(f"{len(files)} files, {bad} with findings")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
