#!/usr/bin/env python3
"""tools/check_docs.py sees links and paths that lead nowhere.

Usage: docs_test.py
"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK = Path(__file__).resolve().parents[2] / "tools" / "check_docs.py"

SOUND = {
    "train.sh": "",
    "src/ops/conv.cpp": "",
    "docs/house.md": "# The house\n\n## One room, two doors\nSee [above](#the-house) and [the start](../README.md).\n",
    "README.md": "[house](docs/house.md#one-room-two-doors), [elsewhere](https://example.org/docs/none), `src/ops/<name>.cpp`,\n"
                 "`src/ops/`, `runs/net-1/none.csv`, [text](src/ops/conv.cpp)\n```sh\n./train.sh --out runs/src/none\n```\n",
}


class Docs(unittest.TestCase):
    def run_on(self, extra):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**SOUND, **extra}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run([sys.executable, str(CHECK), folder], capture_output=True, text=True, check=False)
            self.assertEqual(result.stderr, "")
            return result.returncode, result.stdout.splitlines()[:-1]

    def test_a_sound_tree_passes(self):
        self.assertEqual(self.run_on({}), (0, []))

    def test_what_leads_nowhere_fails_with_its_place(self):
        for text, message in (("[x](none.md)", "the link 'none.md' leads to no file"),
                              ('<img src="none.svg">', "the link 'none.svg' leads to no file"),
                              ("[x](house.md#cellar)", "the link 'house.md#cellar' leads to no heading"),
                              ("`src/ops/none.cpp`", "there is no 'src/ops/none.cpp'"),
                              ("`src/cellar/<name>.cpp`", "there is no 'src/cellar/<name>.cpp'"),
                              ("```sh\n./none.sh\n```", "there is no 'none.sh'"),
                              ("`--gtest_filter='A.[LU]*'`", "GoogleTest's filters have no sets of letters: 'A.[LU]*'")):
            with self.subTest(text):
                code, lines = self.run_on({"docs/page.md": "# Page\n" + text + "\n"})
                self.assertEqual(code, 1)
                self.assertEqual([line.split(":", 2)[2].strip() for line in lines], [message])
                self.assertTrue(lines[0].startswith("docs/page.md:"))

    def test_figures_are_those_of_the_section_that_they_name(self):
        tables = {"docs/performance.md": "# Speed\n\n## Zen 4\n| f32 | 2.54 | 716 to 1687 |\n\n### More\n2.13\n\n## Zen 5\n| 3.26 |\n"}
        good = "[2.54 times as fast in f32, 716 MiB instead of 1687, 2.13](performance.md#zen-4)"
        self.assertEqual(self.run_on({**tables, "docs/page.md": good + "\n"}), (0, []))
        for number in ("3.26", "2.5", "16"):
            code, lines = self.run_on({**tables, "docs/page.md": f"[{number} times](performance.md#zen-4)\n"})
            self.assertEqual((code, len(lines)), (1, 1), lines)
            self.assertIn(f"'{number}' is no figure of performance.md#zen-4", lines[0])

    def test_a_link_to_a_line_leads_to_what_it_names(self):
        code = {"src/ops/conv.cpp": "int a;\nint b;\nint bb;\n"}
        self.assertEqual(self.run_on({**code, "docs/page.md": "[`int a`](../src/ops/conv.cpp#L1)\n"})[0], 0)
        for link, message in (("[`int a`](../src/ops/conv.cpp#L2)", "'int a' stands in line 1 (check_docs.py --fix)"),
                              ("[`int b`](../src/ops/conv.cpp#L2)", "'int b' stands in no one line of it"),
                              ("[`int c`](../src/ops/conv.cpp#L1)", "'int c' stands in no one line of it")):
            with self.subTest(link):
                status, lines = self.run_on({**code, "docs/page.md": link + "\n"})
                self.assertEqual((status, len(lines)), (1, 1), lines)
                self.assertIn(message, lines[0])

    def test_fix_writes_the_numbers_anew(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**SOUND, "src/ops/conv.cpp": "\nint a;\n", "docs/p.md": "[`int a`](../src/ops/conv.cpp#L7)\n"}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            subprocess.run([sys.executable, str(CHECK), "--fix", folder], capture_output=True, check=True)
            self.assertEqual(Path(folder, "docs/p.md").read_text(), "[`int a`](../src/ops/conv.cpp#L2)\n")


if __name__ == "__main__":
    unittest.main()
