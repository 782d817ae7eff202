"""Run a program of the project with the kancore beside it, whatever else could be imported.

Usage: ``python -P workflow_scripts/run.py workflow_scripts/train.py [argument ...]``. The project's
folder is on the path for a moment only: files there may be named as modules of Python.
"""

import gc
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command line."""
    # Ctrl-C ends this process as it is, until the program has something to save.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Modules stay: to look for garbage among them takes a fifth of the time to import PyTorch.
    gc.disable()
    sys.path.insert(0, str(ROOT))
    import kancore  # noqa: F401 -- its modules are found in it from now on

    del sys.path[0]
    from kancore.machine.files import HOPELESS, MayPass

    program = ROOT / sys.argv.pop(1)
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        if isinstance(end, MayPass) or not isinstance(end.code, str):
            raise
        raise SystemExit(f"{end.code}\n{HOPELESS}") from None
    except Exception as error:
        # Of a GPU: its memory, which others may have taken, or a fault of that one.
        if "CUDA" in str(error):
            raise
        traceback.print_exc()
        raise SystemExit(HOPELESS) from None
    # All is written: to take PyTorch apart, object by object, takes another half second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
