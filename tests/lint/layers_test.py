#!/usr/bin/env python3
"""tools/check_layers.py sees what it must see: each case is a small tree that breaks one rule.

Usage: layers_test.py
"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK = Path(__file__).resolve().parents[2] / "tools" / "check_layers.py"

# A house in order: every room's rule is used, and no case below may owe its offence to it.
SOUND = {
    "include/resnet/error.h": "#include <string>\n",
    "include/resnet/tensor.h": '#include "resnet/error.h"\n',
    "include/resnet/nn.h": '#include "resnet/tensor.h"\n',
    "include/resnet/report.h": "void progress(std::ostream& out = std::cerr);\n",
    "include/resnet/resnet.h": '#include "resnet/nn.h"\n',
    "src/base/random.h": "// exit(1) and std::cout in a comment\n",
    "src/kernels/conv/conv.h": '#include <hwy/highway.h>\n#include "base/random.h"\n#include "resnet/tensor.h"\n',
    "src/kernels/kernel.h": '#include "resnet/tensor.h"\n',
    "src/kernels/simd/lanes.h": '#include "kernels/kernel.h"\n',
    "src/kernels/matmul/tiles.h": '#include "kernels/simd/lanes.h"\n',
    "src/kernels/conv/direct/product.h": '#include "kernels/conv/conv.h"\n#include "kernels/matmul/tiles.h"\n',
    "src/kernels/conv/choose.h": '#include "kernels/conv/direct/product.h"\n',
    "src/ops/conv.cpp": '#include "kernels/conv/conv.h"\nconst char* kText = "printf(exit(abort()))";\nint kMillion = 1\'000\'000;\n',
    "src/compiler/passes.h": "void memory_exit(int); void f() { a.exit(1); std::snprintf(b, 1, c); }\n",
    "src/cli/main.cpp": '#include <CLI/CLI.hpp>\n#include "compiler/passes.h"\nint main() { std::cout << 1; std::exit(2); }\n',
}


class Layers(unittest.TestCase):
    def run_on(self, extra):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**SOUND, **extra}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run([sys.executable, str(CHECK), folder], capture_output=True, text=True, check=False)
            self.assertEqual(result.stderr, "")
            return result.returncode, result.stdout.splitlines()[:-1]

    def test_a_house_in_order_passes(self):
        self.assertEqual(self.run_on({}), (0, []))

    def refused(self, name, text, *expected):
        code, lines = self.run_on({name: text})
        self.assertEqual((code, len(lines)), (1, 1), lines)
        for part in (name + ":", *expected):
            self.assertIn(part, lines[0])

    def test_a_forbidden_include_fails_with_its_place(self):
        self.refused("src/nn/linear.cpp", '#include <vector>\n\n#include "compiler/passes.h"\n',
                     "src/nn/linear.cpp:3: 'nn' may not include 'compiler/passes.h' ('compiler', rank 4 -> 4)",
                     "allowed: base, tensor")

    def test_a_file_of_more_than_four_hundred_lines(self):
        self.refused("src/nn/linear.cpp", "int x;\n" * 401, "src/nn/linear.cpp:401: 401 lines", "at most 400")
        self.assertEqual(self.run_on({"src/nn/linear.cpp": "int x;\n" * 400})[0], 0)

    def test_algebra_knows_no_machine(self):
        self.refused("src/compiler/fuse.cpp", '#include "cpu/target.h"\n', "no file 'cpu/target.h'")
        code, lines = self.run_on({"src/cpu/target.h": "class Target;\n", "src/ops/relu.cpp": '#include "cpu/target.h"\n'})
        self.assertEqual((code, len(lines)), (1, 1), lines)
        self.assertIn("'ops' may not include 'cpu/target.h' ('cpu', rank 3 -> 5)", lines[0])

    def test_include_upwards(self):
        self.refused("src/kernels/conv/fast.cpp", '#include "ops/conv.cpp"\n', "rank 2 -> 3")

    def test_exec_cannot_see_the_graph(self):
        self.refused("src/exec/run.cpp", '#include "graph/graph.h"\n', "no file 'graph/graph.h'")
        self.refused("src/exec/run.cpp", '#include "resnet/nn.h"\n', "'exec' may not include 'resnet/nn.h'")

    def test_public_header_of_a_higher_room(self):
        self.refused("src/graph/graph.cpp", '#include "resnet/nn.h"\n', "'nn', rank 2 -> 4")

    def test_public_header_with_private_parts(self):
        self.refused("include/resnet/graph.h", '#include "base/random.h"\n', "is not installed")
        self.refused("include/resnet/graph.h", "#include <fmt/format.h>\n", "a public header includes the standard library")

    def test_the_umbrella_is_for_users(self):
        self.refused("src/report/report.cpp", '#include "resnet/resnet.h"\n', "is for users")

    def test_vectors_stay_in_the_kernels(self):
        self.refused("src/ops/relu.cpp", "#include <hwy/highway.h>\n", "Highway belongs to kernels")
        self.refused("src/exec/run.cpp", "#include <libxsmm.h>\n", "libxsmm belongs to kernels")

    def test_a_header_that_belongs_to_a_folder_of_a_room(self):
        self.refused("src/io/model_file.cpp", "#include <onnx_schema.pb.h>\n", "ONNX's schema belongs to io/onnx")
        self.assertEqual(self.run_on({"src/io/onnx/schema.h": "#include <onnx_schema.pb.h>\n"})[0], 0)

    def test_the_command_line_stays_in_the_program(self):
        self.refused("src/train/options.cpp", "#include <CLI/CLI.hpp>\n", "CLI11 belongs to cli")

    def test_rooms_of_the_kernels_have_neighbours(self):
        self.refused("src/kernels/conv/winograd/product.cpp", '#include "kernels/conv/direct/product.h"\n',
                     "'kernels/conv/winograd' may not include 'kernels/conv/direct/product.h'",
                     "('conv/direct', rank 4 -> 4)")
        self.refused("src/kernels/simd/storage.cpp", '#include "kernels/matmul/tiles.h"\n', "rank 1 -> 2")
        self.refused("src/kernels/index_table.h", '#include "kernels/simd/lanes.h"\n', "'kernels/.' may not include")

    def test_a_contract_stands_lower_than_its_folder(self):
        self.refused("src/kernels/conv/direct/other.h", '#include "kernels/conv/choose.h"\n', "('conv', rank 4 -> 6)")
        self.refused("src/kernels/conv/conv.h", '#include "kernels/matmul/tiles.h"\n',
                     "'kernels/conv/conv.h' may not include")

    def test_only_the_fronts_of_the_kernels_are_seen(self):
        self.refused("src/ops/relu.cpp", '#include "kernels/matmul/tiles.h"\n',
                     "'ops' may not include 'kernels/matmul/tiles.h': it is no front")

    def test_a_room_of_the_kernels_that_is_not_in_the_table(self):
        self.refused("src/kernels/utils/round.h", "\n", "'src/kernels/utils' is not in the table")
        self.refused("src/kernels/conv/depthwise/product.h", "\n", "'src/kernels/conv/depthwise' is not in the table")

    def test_missing_file(self):
        self.refused("src/base/file.cpp", '#include "base/fiel.h"\n', "no file 'base/fiel.h'")

    def test_relative_names(self):
        self.refused("src/base/file.cpp", '#include "random.h"\n', "write 'base/random.h'")
        self.refused("src/ops/relu.cpp", '#include "../compiler/passes.h"\n', "without '..'")

    def test_a_file_that_hides_behind_a_macro(self):
        self.refused("src/base/file.cpp", "#include HEADER\n", "include a file by its name")

    def test_a_room_that_is_not_in_the_table(self):
        self.refused("src/utils/string.h", "\n", "'src/utils' is not in the table")
        self.refused("include/resnet/utils.h", "\n", "'utils.h' is not in the table")

    def test_the_library_neither_prints_nor_exits(self):
        for text in ("std::cout << 1;", "std::cerr << 1;", "printf(x);", "std::printf(x);", "std::puts(x);",
                     "fprintf(stderr, x);", 'fmt::print("x");', "exit(1);", "::exit(1);", "std::abort();",
                     "std::terminate();"):
            with self.subTest(text):
                self.refused("src/train/fit.cpp", "\n" + text + "\n", "src/train/fit.cpp:2", "belongs to cli")

    def test_the_library_names_no_flags(self):
        for text in ('throw Error("--epochs must be at least 1");', 'const char* kHint = "use fewer " "or give --threads";',
                     'const char* kPage = R"(a text\nof two lines with --lr)";'):
            with self.subTest(text):
                self.refused("src/train/fit.cpp", text + "\n", "in 'train': flags belong to settings, cli")
        sound = 'int f() { return --count + g("a--b", "--", "x --> y"); }  // as by --epochs\n'
        self.assertEqual(self.run_on({"src/train/fit.cpp": sound}), (0, []))
        self.assertEqual(self.run_on({"src/settings/options.cpp": 'const char* kText = "--lr";\n'}), (0, []))

    def test_files_are_touched_behind_the_seam(self):
        for text in ("int fd = ::open(path, flags);", "::fsync(fd);", "if (::rename(a, b) != 0) return;", "struct stat s; ::lstat(p, &s);",
                     "f(O_CREAT | O_EXCL);", "auto* file = std::fopen(path, mode);", "gzopen(path, mode);", "std::ofstream out(path);",
                     "fs::remove(path);", "if (std::filesystem::exists(path)) return;", "for (fs::directory_iterator it(path);;) {}"):
            with self.subTest(text):
                self.refused("src/io/save.cpp", "\n" + text + "\n", "src/io/save.cpp:2", "belongs to base; see src/base/files.h")
        sound = ("namespace fs = std::filesystem;\nvoid f(const fs::path& p) { file.open(p); net.read(p); Relu::read(p); fs::absolute(p); }\n"
                 "struct stat s; // ::open(p)\nint n = file_system().stat(p, &s);\n")
        self.assertEqual(self.run_on({"src/io/save.cpp": sound}), (0, []))
        for name, text in (("src/base/files.cpp", "::rename(a, b);\n"), ("src/report/screen.cpp", "::write(fd, p, n);\n")):
            self.assertEqual(self.run_on({name: text}), (0, []))

    def test_reporting_writes_where_it_is_told(self):
        self.refused("src/report/bar.cpp", "void draw() { std::cerr << 1; }\n", "'std::cerr' in 'report'")


if __name__ == "__main__":
    unittest.main()
