"""Run a program of the project with the kancore beside it, whatever else could be imported.

Usage: ``python -P workflow_scripts/run.py workflow_scripts/train.py [argument ...]``. The project's
folder is on the path for a moment only: files there may be named as modules of Python.
"""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command line."""
    sys.path.insert(0, str(ROOT))
    import kancore  # noqa: F401 -- its modules are found in it from now on

    del sys.path[0]
    program = ROOT / sys.argv.pop(1)
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
