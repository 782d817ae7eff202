"""Settings of a process that trains."""

import subprocess
import sys

# Numbers of two threads that are subnormal where nothing has been set, and the number of threads.
PROGRAM = """
import torch
from kancore.machine.processor import prepare_process
prepare_process(threads=2)
print(torch.count_nonzero(torch.full((2**18,), 1e-30) * 1e-10).item(), torch.get_num_threads())
"""


def test_all_threads_take_subnormal_numbers_for_zero():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["0", "2"], done.stderr
