#!/usr/bin/env python3
"""Holds the machine code of the plugin for GPUs to what its kernels claim: registers, nothing in local memory, tensor
cores, ldmatrix and asynchronous copies where products are made, 16 bytes at a time where memory is swept, and in such
loops no element loaded or stored by itself; few instructions beside the products, and no division. What a compiler made of a
kernel, only its listing shows.

Usage: check_sass.py PLUGIN [--cuobjdump FILE]     PLUGIN: libresnet_cuda.so, a cubin, or none (there is no toolkit)
cuobjdump comes with CUDA's toolkit, or from PyPI (nvidia-cuda-cuobjdump, with nvidia-cuda-nvdisasm; tools/setup.sh). Prints one line per
offence, exit code 1 if there is any; 77, and why, where there is no plugin or no cuobjdump.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

MOST_BYTES = 8  # places in the code of a kernel with a mask or an index
ELEMENTWISE = r"(relu|add|mul|sigmoid|silu|gelu)(_gradient)?"
TYPE = r"_(f32|bf16)"


@dataclass
class Claim:
    """What a kernel does, by the opcodes that do it; the first whose names fit the whole of a kernel's counts."""
    names: str
    registers: int  # at most
    has: dict = field(default_factory=dict)  # opcode, of which `*` stands for any rest: at least so many
    bytes: bool = False  # it has a mask or an index of single bytes
    gathers: int = 0     # elements by themselves in a loop over 16 bytes: what an index names
    most: float = 0      # instructions for each product, in the innermost loops with products; 0: any


# 64 registers: four blocks of 256 threads a multiprocessor; 96: two. 128: four blocks of 128; 168: three. A stage of gemm
# is 16 products of 16x8 a warp.
BF16 = {"HMMA.16816.F32.BF16": 16, "LDSM.16.*": 8}
TF32 = {"HMMA.1688.F32.TF32": 16}
ASYNC = {"LDGSTS.E.*128*": 2}
LOADS, STORES = {"LDG.E.128*": 1}, {"STG.E.128*": 1}
CONV3X3_128 = ASYNC | STORES | {"HMMA.16816.F32.BF16": 24, "LDSM.16.*": 7}
CONV3X3_64 = ASYNC | STORES | {"HMMA.16816.F32.BF16": 12, "LDSM.16.*": 5}
CLAIMS = [
    Claim(r"gemm_\w+_bf16_of_f32", 128, BF16),
    Claim(r"gemm_forward_bf16_of_f32_wide", 128, BF16 | LOADS),  # both operands are rounded on their way
    Claim(r"gemm_\w+_bf16(_of_f32)?_wide", 128, BF16 | ASYNC),
    Claim(r"gemm_\w+_bf16", 128, BF16),
    Claim(r"gemm_\w+_tf32_wide", 128, TF32 | ASYNC),
    Claim(r"gemm_\w+_tf32", 128, TF32),
    # Two blocks of 192 threads, with 24 or 12 products of 16x8 for each 16 channels; one of 256 with 36 for each 16 pixels.
    Claim(r"conv3x3_forward_bf16_128", 168, CONV3X3_128, most=2),
    Claim(r"conv3x3_forward_bf16_64", 168, CONV3X3_64, most=2.5),
    Claim(r"conv3x3_input_gradient_bf16_128", 168, CONV3X3_128, bytes=True, most=2),
    Claim(r"conv3x3_input_gradient_bf16_64", 168, CONV3X3_64, bytes=True, most=2.5),
    Claim(r"conv3x3_weight_gradient_bf16", 255, ASYNC | STORES | {"HMMA.16816.F32.BF16": 36, "LDSM.16.*": 9}, most=2.5),
    # Of elements as pictures have them; going back an operand is put together of two of 16 bits.
    Claim(r"stem_forward" + TYPE, 96, STORES | {"HMMA.16816.F32.BF16": 8, "LDSM.16.*": 4}, bytes=True),
    Claim(r"stem_weight_gradient" + TYPE, 128, {"HMMA.16816.F32.BF16": 20, "LDSM.16.*": 8}, bytes=True),
    Claim(r"gemm_input_gradient_f32", 168, {"FFMA": 128}),
    Claim(r"gemm_input_gradient_f32_wide", 168, {"FFMA": 128} | ASYNC, most=1.5),
    Claim(r"gemm_\w+_f32_wide", 128, {"FFMA": 128} | ASYNC, most=1.5),
    Claim(r"gemm_\w+_f32", 128, {"FFMA": 128}),
    Claim(r"linear_forward_(f32|tf32)", 64, {"FFMA": 1}),
    Claim(r"peak_ffma", 64, {"FFMA": 640}, most=1.04),
    Claim(r"peak_tf32", 64, {"HMMA.1688.F32.TF32": 8}),
    Claim(r"peak_bf16", 64, {"HMMA.16816.F32.BF16": 8}),
    Claim(ELEMENTWISE + TYPE, 64, LOADS | STORES),
    Claim(r"norm_apply" + TYPE, 64, LOADS | STORES, bytes=True),
    Claim(r"norm_gradient_apply_by_mask" + TYPE, 64, LOADS | STORES, bytes=True),
    Claim(r"norm_gradient_apply(_by_value|_by_table)?" + TYPE, 64, LOADS | STORES),
    Claim(r"norm_gradient_sums_by_mask" + TYPE, 96, LOADS, bytes=True),
    Claim(r"norm_gradient_sums_by_table" + TYPE, 128, LOADS),
    Claim(r"(norm_moments|channel_sums|norm_gradient_sums(_by_value)?)" + TYPE, 96, LOADS),
    Claim(r"max_pool(_gradient)?" + TYPE, 64, LOADS | STORES, bytes=True),
    Claim(r"norm_pool" + TYPE, 64, LOADS | STORES, bytes=True),
    Claim(r"norm_pool_gradient_apply(_by_value)?" + TYPE, 64, LOADS | STORES, bytes=True),
    Claim(r"norm_pool_gradient_sums(_by_value)?" + TYPE, 128, LOADS, bytes=True, gathers=8),
    Claim(r"avg_pool(_gradient)?" + TYPE, 64, LOADS | STORES),
    Claim(r"pictures", 64, bytes=True),  # of pictures as they are stored
    # Element by element, or so small that nobody waits for them.
    Claim(r"(mul_gate(_gradient)?|copy_channels|flatten|unflatten|dropout|drop_path|add_bias|transpose|transpose_of)" + TYPE, 64),
    Claim(r"copy_weights", 64),
    Claim(r"conv_moments|conv_gradient_sums", 96),
    Claim(r"merge_parts|channel_sum_merge|norm_table|norm_gradient_table|cross_entropy\w*|(sgd|adamw|average)(_all)?", 64),
]

INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);", re.MULTILINE)
FUNCTION = re.compile(r"^\s*Function : (\S+)", re.MULTILINE)
USAGE = re.compile(r"^\s*Function (\S+):\s*\n\s*REG:(\d+)", re.MULTILINE)
BYTE = re.compile(r"(LDG|STG)\.(\w+\.)*[US]8\b")
NARROW = re.compile(r"(LDG|STG)\.(\w+\.)*[US](8|16)\b")
WIDE = re.compile(r"(LDG|STG|LDGSTS)\.(\w+\.)*128\b")
PRODUCT = re.compile(r"(HMMA|FFMA)\b")
DIVISION = re.compile(r"(MUFU|I2FP?|F2I)\b")
BRANCHING = re.compile(r"(BSSY|BSYNC|S2R|S2UR)\b")


def kernel_of(symbol):
    """"add_f32" of _ZN6resnet6device...14add_f32_kernelE...: a name stands behind its length. The last that does: digits of the
    file's hash before it may be a length by chance."""
    found = symbol
    for match in re.finditer(r"(?=(\d{1,2})([a-z]\w*?_kernel)E)", symbol):
        if int(match[1]) == len(match[2]):
            found = match[2].removesuffix("_kernel")
    return found


def sections(listing):
    """(kernel, its instructions as (address, opcode, operands)) of a listing."""
    pieces = FUNCTION.split(listing)
    for symbol, text in zip(pieces[1::2], pieces[2::2]):
        yield kernel_of(symbol), [(int(address, 16), opcode, operands) for address, opcode, operands in INSTRUCTION.findall(text)]


def loops_of(instructions):
    """(first, last address) of each loop: from a branch's target, above it, to the branch."""
    loops = []
    for address, opcode, operands in instructions:
        target = re.search(r"0x([0-9a-f]+)", operands) if opcode.startswith("BRA") else None
        if target and int(target[1], 16) < address:
            loops.append((int(target[1], 16), address))
    return loops


def innermost_loops(instructions):
    """The opcodes of each loop that has none inside it."""
    loops = loops_of(instructions)
    for first, last in loops:
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in loops):
            yield [opcode for address, opcode, _ in instructions if first <= address <= last]


def loops_with_products(instructions):
    """The opcodes of each loop with products that has no other such loop inside it, and the number of its products."""
    found = []
    for first, last in loops_of(instructions):
        opcodes = [opcode for address, opcode, _ in instructions if first <= address <= last]
        products = sum(1 for opcode in opcodes if PRODUCT.match(opcode))
        if products:
            found.append((first, last, opcodes, products))
    for first, last, opcodes, products in found:
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b, _, _ in found):
            yield opcodes, products


def offences_of_products(kernel, claim, instructions):
    for opcodes, products in loops_with_products(instructions):
        divisions = [opcode for opcode in opcodes if DIVISION.match(opcode)]
        if divisions:
            yield f"{kernel}: a loop with products divides: {len(divisions)} times, e.g. {divisions[0]}"
        if claim.most and len(opcodes) > claim.most * products:
            yield f"{kernel}: a loop has {len(opcodes)} instructions for {products} products, of {claim.most} for each at most"
        branching = [opcode for opcode in opcodes if BRANCHING.match(opcode)]
        if claim.most and branching:
            yield f"{kernel}: a loop with products branches or asks for its place: {branching[0]}"


def offences_of(kernel, instructions, registers):
    claim = next((c for c in CLAIMS if re.fullmatch(c.names, kernel)), None)
    if claim is None:
        yield f"{kernel}: no claim of tools/check_sass.py has it: say there what its machine code has to have"
        return
    if registers is not None and registers > claim.registers:
        yield f"{kernel}: {registers} registers, of {claim.registers} at most"
    opcodes = Counter(opcode for _, opcode, _ in instructions)
    for opcode, count in sorted(opcodes.items()):
        if re.match(r"(LDL|STL)\b", opcode):
            yield f"{kernel}: {count} times {opcode}: registers or arrays are kept in local memory"
    for wanted, least in claim.has.items():
        pattern = re.escape(wanted).replace(r"\*", ".*")
        count = sum(n for opcode, n in opcodes.items() if re.fullmatch(pattern, opcode))
        if count < least:
            yield f"{kernel}: {count} times {wanted}, of {least} at least"
    single = sum(count for opcode, count in opcodes.items() if BYTE.match(opcode))
    if single > (MOST_BYTES if claim.bytes else 0):
        yield f"{kernel}: {single} loads and stores of single bytes"
    for loop in innermost_loops(instructions):
        wide, narrow = ([opcode for opcode in loop if kind.match(opcode)] for kind in (WIDE, NARROW))
        if wide and len(narrow) > (len(wide) if claim.bytes else 0) + claim.gathers:  # a vector's own mask comes with it
            yield f"{kernel}: a loop over 16 bytes has {len(narrow)} narrow accesses, e.g. {narrow[0]}"
    if any(PRODUCT.match(opcode) and count > 1 for opcode, count in claim.has.items()):
        yield from offences_of_products(kernel, claim, instructions)


def offences(listing, usage):
    """Lines about what is wrong, and the number of kernels."""
    registers = {kernel_of(symbol): int(count) for symbol, count in USAGE.findall(usage)}
    found, kernels = [], 0
    for kernel, instructions in sections(listing):
        kernels += 1
        found += offences_of(kernel, instructions, registers.get(kernel))
    if kernels == 0:
        found.append("no kernel's machine code is there: is it built for a real architecture (90a-real)?")
    return found, kernels


def of_setup():
    """Where tools/setup.sh puts it, if it did."""
    return glob.glob(os.path.join(os.path.dirname(__file__), "../build/cuda-tools/nvidia/*/bin/cuobjdump"))


def tool(given):
    beside_nvcc = os.path.join(os.path.dirname(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"), "cuobjdump")
    return next((path for path in (given, shutil.which("cuobjdump"), beside_nvcc, *of_setup()) if path and os.access(path, os.X_OK)), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugin")
    parser.add_argument("--cuobjdump")
    options = parser.parse_args()
    if options.plugin == "none":
        print("the plugin was not built (no CUDA toolkit, or RESNET_CUDA=OFF): its machine code is not checked")
        return 77
    with open(options.plugin, "rb") as plugin:
        if b"-Werror" in plugin.read():  # a spill on another card would be an error of the driver, and the end
            print("-Werror is among the options with which a driver compiles the plugin's PTX")
            return 1
    cuobjdump = tool(options.cuobjdump)
    if cuobjdump is None:
        print("there is no cuobjdump: the machine code of the plugin is not checked (install CUDA's toolkit in full, or "
              "nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm from PyPI as tools/setup.sh does)")
        return 77
    path = os.path.dirname(cuobjdump) + os.pathsep + os.environ.get("PATH", "")  # it calls nvdisasm

    def dump(flag):
        return subprocess.run([cuobjdump, flag, options.plugin], capture_output=True, text=True, check=True,
                              env={**os.environ, "PATH": path}).stdout

    found, kernels = offences(dump("--dump-sass"), dump("--dump-resource-usage"))
    for line in found:
        print(line)
    print(f"{kernels} kernels, {len(found)} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
