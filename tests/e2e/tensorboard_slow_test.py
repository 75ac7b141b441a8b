#!/usr/bin/env python3
"""Event files as TensorBoard itself reads them (reference/tensorboard_events.py), where it is installed."""
import importlib.util
import subprocess
import sys

from program import PROGRAM, SOURCE

if importlib.util.find_spec("tensorboard") is None:
    print("tensorboard is not installed (PyPI): nothing was checked")
    raise SystemExit(77)
subprocess.run([sys.executable, SOURCE / "reference/tensorboard_events.py", PROGRAM], check=True)
