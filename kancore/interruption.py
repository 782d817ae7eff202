"""How a training job learns that it has to stop, and how Slurm then starts it again."""

import os
import signal
import subprocess
import time

# sysexits.h: a temporary failure; trying again goes on from the checkpoint.
EXIT_STOPPED = 75


class StopSignal:
    """Says whether to stop: after SIGTERM, or once the process that started this one is gone.

    The first is how Slurm announces the end of the time limit. The second is how a job ends whose
    Snakemake was killed, before the next one starts the same job.
    """

    def __init__(self):
        self._terminated = False
        self._parent = os.getppid()
        signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, frame: object) -> None:
        self._terminated = True

    def __call__(self) -> bool:
        """Whether to stop now."""
        return self._terminated or os.getppid() != self._parent


def requeue() -> None:
    """Put the Slurm job that this process runs in back into the queue.

    Slurm then ends this process, and later starts the job again under the same number. Does nothing
    outside Slurm, or if the job is being cancelled, or may not be requeued.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or _state(job) != "RUNNING":
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0:
        time.sleep(600)


def _state(job: str) -> str:
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
