"""An interpreter that has imported what snakemake and programs of jobs need, and forks to run them.

Usage: ``python -P server.py SOCKET PROCESS``. Two of three seconds of a small job are imports of
PyTorch, and half of a dry run those of snakemake. Of kancore nothing is imported: each copy of the
project has its own. It ends when the process of that number does.
"""

import gc
import json
import os
import runpy
import select
import socket
import struct
import sys
from contextlib import suppress

import matplotlib.pyplot
import pandas
import pyarrow.parquet
import pydantic
import safetensors.torch
import scipy.optimize
import seaborn
import snakemake.cli
import snakemake.common
import torch

IMPORTED = (matplotlib.pyplot, pandas, pyarrow.parquet, safetensors.torch, scipy.optimize)
IMPORTED += (seaborn, torch, pydantic, snakemake.cli)
# These import the plugins of snakemake, and what opens files.
snakemake.cli.get_argument_parser()
snakemake.common.parse_uri("file")
gc.freeze()


def main() -> None:
    """Accept programs for as long as a process lives."""
    user = os.pidfd_open(int(sys.argv[2]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"{sys.argv[1]}.new")
        server.listen(64)
        os.rename(f"{sys.argv[1]}.new", sys.argv[1])
        while True:
            ready, _, _ = select.select([server, user], [], [])
            if user in ready:
                break
            stream, _ = server.accept()
            if os.fork() == 0:
                if os.fork() == 0:  # so that the server has no children to wait for
                    server.close()
                    _serve(stream)
                os._exit(0)
            os.wait()
            stream.close()


def _serve(stream: socket.socket) -> None:
    """Run one program, and tell its number and its end to the process that handed it over."""
    head, streams, _, _ = socket.recv_fds(stream, 8, 3)
    (length,) = struct.unpack("!Q", head)
    given = json.loads(stream.recv(length, socket.MSG_WAITALL))
    worker = os.fork()
    if worker == 0:
        stream.close()
        for place, each in enumerate(streams):
            os.dup2(each, place)
        _run(given)
    for each in streams:
        os.close(each)
    stream.sendall(struct.pack("!Q", worker))
    watch = os.pidfd_open(worker)
    ready, _, _ = select.select([watch, stream], [], [])
    if watch not in ready:  # the process that waits was killed
        os.kill(worker, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    with suppress(OSError):
        stream.sendall(struct.pack("!q", status))
    os._exit(0)


def _run(given: dict) -> None:
    """Become the program."""
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["folder"])
    os.getppid = lambda: given["parent"]
    sys.argv = given["argv"]
    code = 1
    try:
        if sys.argv[0] == "snakemake":  # started as a module
            sys.path.insert(0, given["folder"])
            runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


main()
