"""Tests run on one thread: they are small, and threads that wait for each other slow them down."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
