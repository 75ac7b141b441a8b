"""RESNET_CUDA=AUTO|ON|OFF: where there is a toolkit and where there is none, which CMake is told here."""
import shutil
import subprocess

from program import HERE, SOURCE, TIMEOUT

NO_TOOLKIT = ["-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON", "-DLANGUAGES=NONE"]


def configured(*flags, code=0):
    """What CMake says."""
    shutil.rmtree(HERE / "build", ignore_errors=True)
    result = subprocess.run(["cmake", "-S", SOURCE / "tests" / "package" / "plugin", "-B", HERE / "build", f"-DRESNET={SOURCE}", *flags],
                            capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return " ".join((result.stdout + result.stderr).split())


for flags in (NO_TOOLKIT, [*NO_TOOLKIT, "-DRESNET_CUDA=AUTO"], ["-DRESNET_CUDA=OFF", "-DLANGUAGES=NONE"],
              ["-DRESNET_CUDA=OFF", "-DLANGUAGES=NONE", "-DCUDAToolkit_FOUND=TRUE"]):
    said = configured(*flags)
    assert "the plugin for GPUs is not built" in said and "resnet_cuda is a target" not in said, said
said = configured(*NO_TOOLKIT, "-DRESNET_CUDA=ON", code=1)
assert "RESNET_CUDA is ON, but there is no CUDA toolkit of version 12.8 or later" in said and "RESNET_CUDA=AUTO" in said, said

if shutil.which("nvcc") is None:
    print("there is no nvcc: AUTO with a toolkit is not tried")
else:
    said = configured("-DLANGUAGES=CXX", "-DRESNET_CUDA_ARCHITECTURES=90a-real")
    assert "The plugin for GPUs is built for 90a-real by CUDA" in said and "resnet_cuda is a target" in said, said
