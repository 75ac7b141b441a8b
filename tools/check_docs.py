#!/usr/bin/env python3
"""Holds README.md and docs/ to the tree: every relative link leads to a file (and to a heading, if it
names one), and every path of ours that the text names exists. `<name>` in a path stands for any name.
A link to a line, [`text`](file#L12), leads to a line that holds the text. A link to a heading of performance.md
whose text has numbers, [2.5 times](docs/performance.md#some-machine), leads to a section that holds these numbers.

Usage: check_docs.py [--fix] [ROOT]      (default: the repository of this script)
--fix writes the right number into links to lines whose text stands in one line of the file.
Prints one line per offence, exit code 1 if there is any.
"""
import re
import sys
from pathlib import Path

# Folders whose files the text may name, and files of the root.
FOLDERS = ["src", "include", "tests", "bench", "fuzz", "examples", "docs", "tools", "cmake", "reference", ".ci"]
FOLDER = "|".join(map(re.escape, FOLDERS))

LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href|srcset)="([^"\s]+)[^"]*\"""", re.MULTILINE)
NAMED = re.compile(rf"(?<![\w./<>~$-])(?:(?:\./)?(?:{FOLDER})/[\w./<>*+-]*|\./[\w-]+\.sh)(?![\w])")
UNITS = {"examples/s", "examples/sec"}  # not a file of examples/
LINE_LINK = re.compile(r"\[`([^`]+)`\]\(([^)#\s]+)#L(\d+)\)")
FIGURES = re.compile(r"\[([^\]]*\d[^\]]*)\]\(([^)#\s]*performance\.md)#([\w-]+)\)")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
CODE = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]+`", re.DOTALL)


def blank(match):
    return "".join("\n" if c == "\n" else " " for c in match[0])


def slugs(markdown):
    """The anchors of a file's headings, as the usual viewers make them."""
    found = set(re.findall(r'(?:id|name)="([^"]+)"', markdown))
    text = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        unique, n = slug, 0
        while unique in found:
            n += 1
            unique = f"{slug}-{n}"
        found.add(unique)
    return found


def section_of(markdown, anchor):
    """The text below the heading of that anchor, up to the next one of its level or above; or None."""
    lines = markdown.splitlines()
    headings = [(i, len(m[1])) for i, line in enumerate(lines) if (m := re.match(r"(#{1,6})\s", line))]
    for k, (start, level) in enumerate(headings):
        if anchor in slugs(lines[start]):
            end = next((i for i, other in headings[k + 1:] if other <= level), len(lines))
            return "\n".join(lines[start:end])
    return None


def line_of(text, path):
    """The one line of the file that holds the text, or None."""
    if not path.is_file():
        return None
    lines = [i for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line]
    return lines[0] if len(lines) == 1 else None


def fix_lines(file):
    """Writes the numbers of a page's links to lines anew."""
    def corrected(match):
        line = line_of(match[1], file.parent / match[2])
        return match[0] if line is None else f"[`{match[1]}`]({match[2]}#L{line})"
    text = file.read_text(encoding="utf-8")
    fixed = LINE_LINK.sub(corrected, text)
    if fixed != text:
        file.write_text(fixed, encoding="utf-8")


def check(root):
    files = [f for f in [root / "README.md"] if f.is_file()] + sorted((root / "docs").rglob("*.md"))
    offences = []

    def say(file, text, position, message):
        line = text.count("\n", 0, position) + 1
        offences.append(f"{file.relative_to(root)}:{line}: {message}")

    for file in files:
        text = file.read_text(encoding="utf-8")
        prose = CODE.sub(blank, text)
        links = list(LINK.finditer(prose))
        for match in links:
            link = next(group for group in match.groups() if group)
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (root / path.lstrip("/") if path.startswith("/") else file.parent / path) if path else file
            if not target.exists():
                say(file, text, match.start(), f"the link '{link}' leads to no file")
            elif anchor and target.suffix == ".md" and anchor not in slugs(target.read_text(encoding="utf-8")):
                say(file, text, match.start(), f"the link '{link}' leads to no heading")
        for match in re.finditer(r"gtest_filter='([^'\s]*\[[^'\s]*)'", text):
            say(file, text, match.start(), f"GoogleTest's filters have no sets of letters: '{match[1]}'")
        for match in LINE_LINK.finditer(text):
            target = file.parent / match[2]
            line = line_of(match[1], target)
            if target.is_file() and line != int(match[3]):
                where = "in no one line of it" if line is None else f"in line {line} (check_docs.py --fix)"
                say(file, text, match.start(), f"the link '{match[2]}#L{match[3]}': '{match[1]}' stands {where}")
        for match in FIGURES.finditer(text):
            target = file.parent / match[2]
            section = section_of(target.read_text(encoding="utf-8"), match[3]) if target.is_file() else None
            for number in NUMBER.findall(match[1]) if section else []:
                if number not in NUMBER.findall(section):
                    say(file, text, match.start(), f"'{number}' is no figure of {match[2]}#{match[3]}")
        without_links = re.sub(LINK, blank, text)
        for match in NAMED.finditer(without_links):
            name = match[0].rstrip(".").removeprefix("./")
            pattern = re.sub(r"<[^>]*>", "*", name)
            exists = any(root.glob(pattern)) if "*" in pattern else (root / name).exists()
            if not exists:
                if name not in UNITS:
                    say(file, text, match.start(), f"there is no '{name}'")
    return files, offences


def main():
    arguments = sys.argv[1:]
    fix = arguments[:1] == ["--fix"]
    arguments = arguments[1:] if fix else arguments
    root = Path(arguments[0]).resolve() if arguments else Path(__file__).resolve().parent.parent
    if fix:
        for file in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
            fix_lines(file)
    files, offences = check(root)
    for offence in offences:
        print(offence)
    print(f"{len(files)} files, {len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
