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
                              ("```sh\n./none.sh\n```", "there is no 'none.sh'")):
            with self.subTest(text):
                code, lines = self.run_on({"docs/page.md": "# Page\n" + text + "\n"})
                self.assertEqual(code, 1)
                self.assertEqual([line.split(":", 2)[2].strip() for line in lines], [message])
                self.assertTrue(lines[0].startswith("docs/page.md:"))


if __name__ == "__main__":
    unittest.main()
