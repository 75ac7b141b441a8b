"""tools/check_sass.py on listings as cuobjdump writes them: what is as it should be, and each thing that is not."""
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
import check_sass  # noqa: E402, pylint: disable=wrong-import-position


def symbol(kernel):
    name = f"{kernel}_kernel"
    return f"_ZN6resnet6device43_GLOBAL__N__f4b69c66_10_kernels_cu_872bdb79{len(name)}{name}ENS0_9SweepArgsE"


def listing(kernel, *instructions):
    """Instructions 16 bytes apart, the second word of each on a line of its own."""
    lines = [f"\t\tFunction : {symbol(kernel)}", "\t.headerflags\t@\"EF_CUDA_SM90\""]
    for i, instruction in enumerate(instructions):
        lines += [f"        /*{16 * i:04x}*/                   {instruction} ;      /* 0x0000000aff017b82 */",
                  " " * 80 + "/* 0x000fe20000000800 */"]
    return "\n".join(lines) + "\n"


def usage(kernel, registers):
    return f" Function {symbol(kernel)}:\n  REG:{registers} STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:544\n"


def found(kernel, *instructions, registers=32):
    return check_sass.offences(listing(kernel, *instructions), usage(kernel, registers))[0]


VECTORS = ["LDG.E.128 R4, desc[UR8][R2.64]", "LDG.E.128 R8, desc[UR8][R6.64]", "FADD R4, R4, R8",
           "STG.E.128 desc[UR8][R2.64], R4", "@P0 BRA 0x0"]
REST = ["LDG.E.U16 R4, desc[UR8][R2.64]", "STG.E.U16 desc[UR8][R2.64], R4", "@!P1 BRA 0x50"]
BYTES = [f"LDG.E.U8 R{i}, desc[UR8][R2.64+{i}]" for i in range(16)]
TILE = ["HMMA.16816.F32.BF16 R8, R4.reuse, R2, R8"] * 16 + ["LDSM.16.M88.4 R4, [R2]"] * 8
COPIES = ["LDGSTS.E.BYPASS.128 [R2], desc[UR8][R4.64]"] * 2

# What is as it should be: elements that are left over have a loop of their own, a mask's byte comes with its vectors.
assert found("add_bf16", *VECTORS, *REST) == []
assert found("norm_apply_bf16", *VECTORS[:-1], "STG.E.U8 desc[UR8][R2.64], R4", VECTORS[-1]) == []
assert found("gemm_forward_bf16_wide", *TILE, *COPIES) == []
assert found("flatten_f32", "LDG.E R4, desc[UR8][R2.64]", "STG.E desc[UR8][R2.64], R4") == []

for kernel, instructions, registers, says in [
        ("add_f32", BYTES + VECTORS, 32, "add_f32: 16 loads and stores of single bytes"),
        ("add_f32", BYTES + VECTORS[3:], 32, "add_f32: 0 times LDG.E.128*, of 1 at least"),
        ("norm_apply_f32", BYTES + VECTORS, 32, "norm_apply_f32: 16 loads and stores of single bytes"),
        ("add_bf16", VECTORS[:-1] + REST[:2] + VECTORS[-1:], 32, "add_bf16: a loop over 16 bytes has 2 narrow accesses, e.g. LDG.E.U16"),
        ("relu_f32", VECTORS + ["STL.64 [R1], R4"], 32, "relu_f32: 1 times STL.64: registers or arrays are kept in local memory"),
        ("relu_f32", VECTORS, 80, "relu_f32: 80 registers, of 64 at most"),
        ("gemm_forward_bf16_wide", TILE[16:] + COPIES, 32, "gemm_forward_bf16_wide: 0 times HMMA.16816.F32.BF16, of 16 at least"),
        ("gemm_forward_bf16_wide", TILE[:16] + COPIES, 32, "gemm_forward_bf16_wide: 0 times LDSM.16.*, of 8 at least"),
        ("gemm_forward_bf16_wide", TILE, 32, "gemm_forward_bf16_wide: 0 times LDGSTS.E.*128*, of 2 at least"),
        ("softmax", VECTORS, 32, "softmax: no claim of tools/check_sass.py has it: say there what its machine code has to have")]:
    lines = found(kernel, *instructions, registers=registers)
    assert says in lines, f"not '{says}' in {lines}"

# Loops with products: of those inside each other the innermost, and nothing before or behind it.
CONV = "conv3x3_forward_bf16_64"
PRODUCTS = ["LDSM.16.M88.4 R4, [R2]"] * 5 + ["HMMA.16816.F32.BF16 R8, R4, R2, R8"] * 12
OUTSIDE = COPIES + ["STG.E.128 desc[UR8][R2.64], R4", "BSSY B0, 0x100", "MUFU.RCP R2, R2", "S2UR UR4, SR_CgaCtaId"]


def offences_of_loop(*inside, kernel=CONV):
    begin = 16 * len(OUTSIDE)
    return found(kernel, *OUTSIDE, *PRODUCTS, *inside, f"@!P0 BRA 0x{begin:x}", "I2F.RP R2, R3", "@!P1 BRA 0x0")


assert offences_of_loop() == []
assert offences_of_loop(*["IADD3 R2, R2, 0x10, RZ"] * 12) == []
for inside, says in [
        (["IADD3 R2, R2, 0x10, RZ"] * 13, "a loop has 31 instructions for 12 products, of 2.5 for each at most"),
        (["BSSY B0, 0x100"], "a loop with products branches or asks for its place: BSSY"),
        (["S2UR UR4, SR_CgaCtaId"], "a loop with products branches or asks for its place: S2UR"),
        (["MUFU.RCP R2, R2", "I2F.RP R2, R3"], "a loop with products divides: 2 times, e.g. MUFU.RCP")]:
    assert offences_of_loop(*inside) == [f"{CONV}: {says}"], offences_of_loop(*inside)
divides = found("gemm_forward_bf16_wide", *TILE, *COPIES, "I2F.RP R2, R3", "@P0 BRA 0x0")
assert divides == ["gemm_forward_bf16_wide: a loop with products divides: 1 times, e.g. I2F.RP"], divides

# Digits of a file's hash may be the length of what stands behind them.
by_chance = "_ZN6resnet6device43_GLOBAL__N__3c7151d1_10_kernels_cu_872bdb7924channel_sum_merge_kernelENS0_14ChannelSumArgsE"
assert check_sass.kernel_of(by_chance) == "channel_sum_merge"

assert check_sass.offences("", "") == (["no kernel's machine code is there: is it built for a real architecture (90a-real)?"], 0)



def skipped(plugin):
    return subprocess.run([sys.executable, "-B", TOOLS / "check_sass.py", plugin], capture_output=True, text=True, check=False,
                          env={"PATH": "/nowhere"})


# Where there is no plugin or no cuobjdump it says so, and is no success; options of its PTX are looked at without.
result = skipped("none")
assert result.returncode == 77 and "the plugin was not built" in result.stdout, result
with tempfile.TemporaryDirectory() as folder:
    plugin = pathlib.Path(folder) / "libresnet_cuda.so"
    plugin.write_bytes(b"\0-warn-spills  -Werror\0")
    result = skipped(plugin)
    assert result.returncode == 1 and "-Werror is among the options" in result.stdout, result
    plugin.write_bytes(b"")
    result = skipped(plugin)
    if pathlib.Path("/usr/local/cuda/bin/cuobjdump").exists() or check_sass.of_setup():  # neither needs a path
        assert result.returncode == 1 and "cuobjdump" in result.stderr, result
    else:
        assert result.returncode == 77 and "there is no cuobjdump: the machine code of the plugin is not checked" in result.stdout, result
print("the listings are judged as they should be")
