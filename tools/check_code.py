#!/usr/bin/env python3
"""Compiles the C++ blocks (```cpp) of README.md and docs/, each page as one program.

Includes and `using` stand first, then definitions of classes and functions (what begins in column 0 as one and ends
with a line `}` or `};`), then the statements, in the page's order. A block sees what the blocks before it declare; a
name that is declared again hides the earlier one.

Usage: check_code.py [COMPILER [ROOT]]      (default: c++, the repository of this script)
Prints the compiler's errors with the page's lines; exit code 1 if there is any.
"""
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```cpp\n(.*?)^```", re.DOTALL | re.MULTILINE)
DEFINITION = re.compile(r"(?:class|struct|template|enum)\b|(?!(?:if|for|while|do|switch|else)\b)[\w:<>&*, ]+\w\([^;]*\)[^;=]*\{\s*(?://.*)?$")


def split(block, number):
    """What of a block stands at the front, at file scope, in the function; as lines with their numbers."""
    front, scope, body = [], [], []
    definition = False
    for offset, line in enumerate(block.splitlines()):
        if not definition and re.match(r"#include|using namespace", line):
            front.append(line)
            continue
        definition = definition or bool(DEFINITION.match(line))
        (scope if definition else body).append((number + offset, line))
        if definition and re.match(r"\}", line):
            definition = False
    return front, scope, body


def program(page, text):
    def written(lines):
        numbered = []
        for number, line in lines:
            numbered += [f'#line {number} "{page}"', line] if line.strip() else []
        return numbered

    fronts = ["#include <resnet/resnet.h>", "#include <iostream>", "using namespace resnet;"]
    scopes, bodies = [], []
    blocks = list(BLOCK.finditer(text))
    for match in blocks:
        number = text.count("\n", 0, match.start(1)) + 1
        front, scope, body = split(match[1], number)
        fronts += [line for line in front if line not in fronts]
        scopes += written(scope)
        bodies += ["{"] + written(body)
    fronts.sort(key=lambda line: line.startswith("using"))
    # `image` is the reader's picture, where a page does not make one.
    lines = fronts + scopes + ["void page(const data::Image& image);", "void page(const data::Image& image) {",
                               "static_cast<void>(image);"]
    return "\n".join(lines + bodies + ["}" * (len(blocks) + 1), ""])


def main():
    compiler = sys.argv[1] if len(sys.argv) > 1 else "c++"
    root = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else Path(__file__).resolve().parent.parent
    pages = [p for p in [root / "README.md", *sorted((root / "docs").rglob("*.md"))] if p.is_file()]
    programs = [(p, program(p, p.read_text(encoding="utf-8"))) for p in pages if BLOCK.search(p.read_text(encoding="utf-8"))]
    failed = 0
    for page, text in programs:
        command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                   "-I", Path(__file__).resolve().parent.parent / "include", "-x", "c++", "-"]
        result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        failed += result.returncode != 0
        sys.stdout.write(result.stderr)
        print(f"{page.relative_to(root)}: {'ok' if result.returncode == 0 else 'does not compile'}")
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main())
