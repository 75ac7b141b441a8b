#!/usr/bin/env python3
"""A public header as Doxygen wants it, line for line: its first comment is the file's, what stands in a comment behind a
declaration documents it, and declarations that follow a documented one without a blank line are meant by its comment
too. Used by docs/Doxyfile; writes to standard output.
"""
import re
import sys
from pathlib import Path

BEHIND = re.compile(r"^(\s*[^/\s].*?[;,{}]|\s*\w[\w:]*(?:\s*=\s*[^,]+)?)\s*//(?![/!])\s?(.*)$")
OPENED = re.compile(r"^((?! )|\s+(?=(?:struct|class|enum class) ))(\w.*[;{])\s*//\s(.*)$")
ALONE = re.compile(r"^(\s*)//(?![/!])\s?(.*)$")
COMMENT = re.compile(r"//[/!]?<?.*$")


def escaped(line):
    """Without what Doxygen takes for a command or a tag."""
    return COMMENT.sub(lambda m: re.sub(r"<(?=[a-z]+>)", "&lt;", m[0].replace("\\", "\\\\")), line)


def filtered(name, lines):
    head, column, documented, ended = True, None, False, False
    for number, line in enumerate(lines):
        alone, behind = ALONE.match(line), BEHIND.match(line)
        if head and alone:
            more = number + 1 < len(lines) and ALONE.match(lines[number + 1])
            yield (f"/** @file {name} " if number == 0 else " * ") + alone[2] + ("" if more else " */")
            continue
        head = False
        if opened := OPENED.match(line):
            line, column = f"{opened[1]}/** {opened[3][0].upper()}{opened[3][1:]}. */ {opened[2]}", None
            documented, ended = True, False
        elif behind:
            column = line.index("//", len(behind[1]))
            line = f"{line[:column]}///< {behind[2]}"
        elif alone and column is not None and len(alone[1]) >= column:
            line = f"{alone[1]}///< {alone[2]}"
        else:
            column = None
        # Declarations of a namespace stand at the margin.
        if opened:
            pass
        elif line.startswith("///"):
            documented, ended = True, False
        elif not line.strip() or line.startswith(("#", "//", "namespace", "}  // namespace")):
            documented = False
        elif documented and ended and re.match(r"[A-Za-z]", line):
            line, ended = "/** As the one before. */ " + line, False
        if re.search(r"^\S.*;(\s*//.*)?$|^\s+.*\);(\s*//.*)?$|^\}", line):
            ended = True
        yield escaped(line)


def main():
    path = Path(sys.argv[1])
    sys.stdout.write("\n".join(filtered(path.name, path.read_text(encoding="utf-8").split("\n"))))


if __name__ == "__main__":
    main()
