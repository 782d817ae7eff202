"""How a training job learns that it has to stop, and how Slurm then starts it again."""

import os
import signal
import subprocess
import time

# sysexits.h: a temporary failure; trying again goes on from the checkpoint.
EXIT_STOPPED = 75
# Slurm's warning before the time limit. Of the signals that it can send, this one is ignored by the
# shells and programs above this process; SIGTERM would end them, and this process with them.
WARNING = signal.SIGURG
# More than Slurm takes to end the processes of a job.
KILL_SECONDS = 120


class StopSignal:
    """Says whether to stop: after SIGTERM or a warning, or if the process above this one is gone.

    The last is how a job ends whose Snakemake was killed, before the next one starts it again.

    Attributes
    ----------
    warned : bool
        Whether the time limit comes near.
    """

    def __init__(self):
        self.warned = False
        self._terminated = False
        self._parent = os.getppid()
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(WARNING, self._warn)

    def _terminate(self, number: int, frame: object) -> None:
        self._terminated = True

    def _warn(self, number: int, frame: object) -> None:
        self.warned = True

    def __call__(self) -> bool:
        """Whether to stop now."""
        return self.warned or self._terminated or os.getppid() != self._parent


def requeue() -> None:
    """Put the Slurm job that this process runs in back into the queue, where Slurm then ends it.

    Slurm later starts the job again under the same number. Returns outside Slurm, or if the job may
    not be requeued.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0:
        time.sleep(KILL_SECONDS)  # to end with an error now would be a failure of the job
