#!/usr/bin/env python3
"""The program is hardened: position-independent, its tables read-only once it runs, its stack not executable, with
guards on the stack and the C library's checks of sizes."""
import pathlib
import re
import subprocess
import sys

from program import PROGRAM, sanitized


def read(flag):
    return subprocess.run(["readelf", flag, "-W", PROGRAM], capture_output=True, text=True, check=True).stdout


symbols = read("--dyn-syms")
if sanitized():
    print("a sanitizer's build")
    sys.exit(77)
assert re.search(r"Type:\s+DYN", read("-h")), "no position-independent program"
segments = read("-l")
assert re.search(r"GNU_STACK.* RW ", segments), "an executable stack"
assert "GNU_RELRO" in segments, "no read-only tables"
dynamic = read("-d")
assert re.search(r"FLAGS_1.*\bNOW\b.*\bPIE\b", dynamic), dynamic
assert not re.search(r"RPATH|RUNPATH", dynamic), "a path of libraries"
assert "__stack_chk_fail" in symbols, "no guards on the stack"
cache = pathlib.Path(PROGRAM).parent / "CMakeCache.txt"
if "CMAKE_BUILD_TYPE:STRING=Debug" not in (cache.read_text() if cache.exists() else ""):
    assert re.search(r"__\w+_chk@", symbols), "no checks of sizes"
