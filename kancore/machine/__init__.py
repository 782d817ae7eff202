"""The machine that jobs run on: files, locks, memory, devices, time, and the digests of code."""
