"""Too little memory of a device, in the words of those who say so."""

import pytest
import torch

from kancore.machine.out_of_memory import is_out_of_memory

SAID = [
    torch.OutOfMemoryError("Tried to allocate 2.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUSPARSE_STATUS_INSUFFICIENT_RESOURCES when calling `cusparseSpMM`"),
]


@pytest.mark.parametrize("error", SAID, ids=str)
def test_all_who_say_so_are_understood(error):
    assert is_out_of_memory(error)


def test_an_error_that_follows_from_it_counts():
    """The capture of a CUDA graph ends in an error of its own."""

    def capture():
        try:
            raise SAID[0]
        finally:
            raise torch.AcceleratorError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError, match="capture") as ended:
        capture()
    assert is_out_of_memory(ended.value)


def test_other_errors_do_not_count():
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    assert not is_out_of_memory(RuntimeError("out of resource: shared memory, Required: 300000"))
