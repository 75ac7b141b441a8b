"""bench/rival_gpu.py without PyTorch: a form that takes too long is left out although its compiler catches exceptions, and the
ratio says which one it was."""
import contextlib
import io
import json
import signal
import sys
import time
import types

from program import SOURCE

torch = types.ModuleType("torch")
torch.__version__ = "0"
torch.nn = types.ModuleType("torch.nn")
torch.device = lambda name: types.SimpleNamespace(type=name)
torch.set_float32_matmul_precision = lambda precision: None
torch.backends = types.SimpleNamespace(cudnn=types.SimpleNamespace())
sys.modules |= {"torch": torch, "torch.nn": torch.nn, "rival_step": types.SimpleNamespace(network=None)}
sys.path.insert(0, str(SOURCE / "bench"))
import rival_gpu  # pylint: disable=wrong-import-position


class Rival:
    """A form of PyTorch; one mode of its compiler takes for ever, and catches what it can."""

    tried = []

    def __init__(self, _options, form, _precision):
        self.form = form
        self.tried.append(form)
        while form == "max-autotune":
            try:
                time.sleep(60)
            except Exception:  # pylint: disable=broad-except; as compilers do
                pass

    def warm_up(self):
        pass

    def run(self, _steps):
        return {"eager": 1.0, "channels_last": 2.0, "graph": 3.0, "reduce-overhead": 4.0}[self.form]


rival_gpu.Rival = Rival
rival_gpu.GRACE = 0
rival_gpu.matmul_tflops = lambda device, precision: 1.0
rival_gpu.ours = lambda options, precision, seconds: {"examples_per_second": 6.0, "libraries": "cuDNN 9", "note": ""}
signal.signal(signal.SIGALRM, rival_gpu.late)
options = types.SimpleNamespace(torch_device="cuda", steps=1, model="d2l_resnet18", input="2x1x8x8", goals={"bf16": ["1.0", "1.7"]})
said = io.StringIO()
with contextlib.redirect_stdout(said):
    begin = time.monotonic()
    best = rival_gpu.fastest(options, "bf16", begin + 2, {})
    assert time.monotonic() - begin < 30
    result = rival_gpu.compare(options, "bf16", time.monotonic() + 2)
assert best.form == "reduce-overhead", best.form
assert Rival.tried[:4] == ["channels_last", "graph", "reduce-overhead", "max-autotune"], "the quick ones first, and those that may be fastest"
assert "| PyTorch 0 max-autotune, bf16 | not ready in time |" in said.getvalue(), said.getvalue()
assert result["best"] == "reduce-overhead", result
rival_gpu.fastest = lambda options, precision, deadline, figures: figures.update(eager=1.0) or Rival(options, "eager", precision)
with contextlib.redirect_stdout(said):
    result = rival_gpu.compare(options, "bf16", time.monotonic() + 60)
assert result["ratio"] == 6.0, result
assert "| floor 1.0, goal 1.7; without PyTorch's reduce-overhead, max-autotune, which may be faster |" in said.getvalue(), said.getvalue()
assert "| ours in bf16 computes with | cuDNN 9 |" in said.getvalue(), said.getvalue()


# A precision in which ours fails does not take the figures of the other with it.
def fail_in_bf16(_options, precision, _seconds):
    if precision == "bf16":
        raise RuntimeError("the device | fell off the bus")
    return {"examples_per_second": 6.0}


rival_gpu.ours = fail_in_bf16
sys.argv = ["rival_gpu.py", "--program", "resnet", "--torch-device", "cpu", "--precision", "bf16,tf32", "--seconds", "60"]
said = io.StringIO()
with contextlib.redirect_stdout(said):
    assert rival_gpu.main() == 1
figures = json.loads(said.getvalue().splitlines()[-1])
assert "bus" in figures["bf16"]["error"] and figures["tf32"]["ratio"] == 6.0, figures
assert "| ours ÷ PyTorch's best, bf16 | failed | the device / fell off the bus |" in said.getvalue(), said.getvalue()
print("a form that is late is left out, and said so")
