"""The compiled forms of a module's kernels, for its tests."""

import pytest
import torch

from kancore.layers import compiled


def library(module, form):
    """Load a form that this processor runs, or give ``None`` for PyTorch alone."""
    if form == "pytorch":
        return None
    if form not in compiled.FORMS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
        pytest.skip(f"this processor has no {form}")
    try:
        return module.load(form)
    except OSError as error:
        if "not compiled" not in str(error):
            raise
        pytest.skip("no compiled kernels")
