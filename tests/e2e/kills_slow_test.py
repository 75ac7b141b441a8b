#!/usr/bin/env python3
"""resume_test.py with 500 kills and 300 stops."""
import os
import pathlib
import sys

os.environ.update(RESNET_KILLS="500", RESNET_STOPS="300")
os.execv(sys.executable, [sys.executable, str(pathlib.Path(__file__).with_name("resume_test.py"))])
