"""The scripts' virtual environment .venv-rivals, which holds what comes from PyPI."""
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-rivals"


def python_with(modules):
    """The environment's interpreter, after installing those of the modules that it lacks."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "bin" / "pip").exists():
        try:
            venv.create(FOLDER, with_pip=True, clear=True)
        except subprocess.CalledProcessError:
            sys.exit("a virtual environment cannot be made\nhint: apt install python3-venv")
    if subprocess.run([python, "-c", "import " + ", ".join(modules)], capture_output=True, check=False).returncode != 0:
        print(f"installing {' '.join(modules)} into {FOLDER.name}", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *modules], check=True)
    return python
