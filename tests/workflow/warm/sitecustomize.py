"""Imported by each Python that starts with this folder on its path: hands some programs over.

Where a warm interpreter listens (`server.py`), snakemake and a program that a rule runs are run by
a fork of it, with this process's arguments, environment, folder and streams; this process waits.
"""

import os
import sys

if "WARM_INTERPRETER" in os.environ and (
    (sys.orig_argv[1:3] == ["-m", "snakemake"] and "WARM_SNAKEMAKE" in os.environ)
    or sys.orig_argv[2:3] == [os.environ.get("KANCORE_RUN")]
):
    import json
    import signal
    import socket
    import struct

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(os.environ["WARM_INTERPRETER"])
        given = {
            "argv": sys.orig_argv[2:],
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "parent": os.getppid(),
        }
        text = json.dumps(given).encode()
        socket.send_fds(stream, [struct.pack("!Q", len(text))], [0, 1, 2])
        stream.sendall(text)
        (worker,) = struct.unpack("!Q", stream.recv(8, socket.MSG_WAITALL))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGURG):
            signal.signal(number, lambda number, frame: os.kill(worker, number))
        (status,) = struct.unpack("!q", stream.recv(8, socket.MSG_WAITALL))
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)
