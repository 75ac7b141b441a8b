#!/usr/bin/env python3
"""Checks that the rooms of src/ are one translation unit each, as the presets `release` and `static` compile them and no
other does: a name that two sources of a room have is an error there. Nothing is compiled to code: half a minute.

Usage: check_units.py BUILD_FOLDER     whose generated headers are taken
Prints the first errors of each unit; exit code 1 if there are any.
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = 3  # errors of a unit


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_units.py BUILD_FOLDER")
    generated = Path(sys.argv[1]).resolve() / "onnx_schema"
    with tempfile.TemporaryDirectory() as folder:
        configured = subprocess.run(["cmake", "--preset", "release", "-B", folder, "-DRESNET_CUDA=OFF"], cwd=ROOT, capture_output=True,
                                    text=True, check=False)
        if configured.returncode != 0:
            sys.exit(f"the preset release does not configure:\n{configured.stderr}")
        commands = json.loads((Path(folder) / "compile_commands.json").read_text())
        units = [command for command in commands if "/Unity/" in command["file"]]

        def errors_of(unit):
            words = shlex.split(unit["command"])
            del words[words.index("-o"):words.index("-o") + 2]
            words = [word for word in words if not word.startswith("-O") and "_FORTIFY_SOURCE" not in word]
            result = subprocess.run([*words, "-fsyntax-only", "-Werror", f"-I{generated}"], cwd=unit["directory"],
                                    capture_output=True, text=True, check=False)
            lines = [line for line in result.stderr.splitlines() if "error: " in line]
            return lines or ([result.stderr] if result.returncode != 0 else [])

        bad = 0
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for lines in pool.map(errors_of, units):
                bad += bool(lines)
                for line in lines[:SHOWN]:
                    print(line, flush=True)
        print(f"{len(units)} units, {bad} with errors")
        return 1 if bad or not units else 0


if __name__ == "__main__":
    sys.exit(main())
