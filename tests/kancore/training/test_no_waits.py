"""Within an epoch and an evaluation the host waits for no GPU: it reads nothing, copies nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kancore.intrinsic_dimension.projections import walsh_hadamard
from kancore.layers import dense
from kancore.layers.dense import Edges, Placement
from kancore.layers.splines import basis

ROOT = Path(__file__).resolve().parents[3]
# On a CPU that reports as a GPU: what a step and an evaluation do that would wait, by case.
WATCHED = """
import json, sys
from tests.pretended_gpu import pretend
from dataclasses import replace
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from kancore.schemes import Architecture, HsicBottleneck
from kancore.training.evaluation import _measure
from kancore.training.loop import Training
sys.path.insert(0, "tests/kancore/training")
from test_gpu import clusters
from test_loop import sweep

Tensor, aten = torch.Tensor, torch.ops.aten
READS = {Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.__bool__, Tensor.__float__,
         Tensor.__int__, Tensor.__index__, Tensor.__array__, torch.equal, torch.allclose}
# Their results have shapes that depend on numbers.
SHAPED = {aten._local_scalar_dense, aten.nonzero, aten.is_nonzero, aten.masked_select, aten.equal,
          aten.unique_consecutive, aten._unique2, aten.unique_dim, aten.bincount, aten.histc,
          aten._linalg_check_errors}


class Dispatched(TorchDispatchMode):
    told = True

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = [each for each in args[1:2] if function.overloadpacket is aten.index]
        masked = any(i is not None and i.dtype == torch.bool for each in masks for i in each)
        if self.told and (masked or function.overloadpacket in SHAPED):
            found.add(str(function))
        return function(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    pinned = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in READS:
            found.add(function.__name__)
        places = [*args[1:2], kwargs.get("device")]
        if function is Tensor.to and any(str(place).startswith("cuda") for place in places):
            if not (kwargs.get("non_blocking") and id(args[0]) in self.pinned):
                found.add("to cuda, of memory that is not pinned")
        if function in (torch.tensor, torch.as_tensor) and "cuda" in str(kwargs.get("device")):
            found.add("tensor of numbers of the host")
        Dispatched.told = function is not torch.nn.functional.one_hot  # on a CPU alone it checks
        result = function(*args, **kwargs)
        Dispatched.told = True
        if function is Tensor.pin_memory:
            self.pinned.add(id(result))
        return result


layers = {"batch_norm": "before_activation"}, {"layer_norm": "after_activation"}
CASES = {
    "mlp": ("mlp", "numbers", {}),
    "wide": ("wide_mlp", "numbers", {}),
    "kan": ("kan", "numbers", {}),
    "flips": ("kan", "images", {"flips": True}),
    "sparse": ("kan", "words", {}),
    "clipped, warm, decaying": (
        "mlp", "numbers", {"clip_norm": 1.0, "warmup_epochs": 1, "rate_decay": "cosine"}
    ),
    "moved": ("kan", "numbers", {"moving_grid": True}),
    "folded": ("kan", "numbers", {"spline_scale": "folded", "residual": True}),
    "batch norm": ("mlp", "numbers", layers[0]),
    "layer norm": ("kan", "numbers", layers[1]),
    **{
        f"hsic {model} {term} {output}": (
            model, "numbers", {"hsic": HsicBottleneck(term=term, output=output)}
        )
        for model in ("mlp", "kan") for term, output in (("n", "cross_entropy"), ("x", "hsic"),
        ("h", "hsic"))
    },
}
told = {}
for name, (model, kind, options) in CASES.items():
    found = set()
    with pretend():
        of_layers = {key: options[key] for key in options if hasattr(Architecture, key)}
        described = sweep(model, **{key: options[key] for key in options if key not in of_layers})
        architecture = replace(described.architecture, **of_layers)
        described = replace(described, architecture=architecture)
        training = Training(described, clusters(kind=kind), "cuda")
        first = [*training.splits.training_batches(0)]
        if options.get("moving_grid"):
            training.state.network.eval()
            training.state.network.move_grids(training.splits.first(100)[0])
            training.state.network(first[0][0])  # compares grids once
            training.state.network.train()
        with Called(), Dispatched():
            for epoch in range(2):
                order = training.splits._order(epoch)
                for batch in training.splits.training_batches(epoch):
                    training.step(*batch)
            training.state.network.eval()
            _measure(
                training.state, training.splits, training.sweep, training.objective, lambda: False
            )
    told[name] = sorted(found)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_nothing_waits_for_the_device():
    command = [sys.executable, "-W", "ignore", "-c", WATCHED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == 16
    waits = {name: found for name, found in told.items() if found}
    # Units are assigned to classes on the host, once an evaluation.
    assert waits == {name: ["cpu", "numpy"] for name in told if name.endswith(" hsic")}


class _Copies(TorchDispatchMode):
    """Remembers what takes tensors of the host to a GPU; numbers go with a launch."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given, made = (
            [each for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]
            for tree in ((args, kwargs), result)
        )
        on_a_gpu = any(each.is_cuda for each in (*given, *made))
        if on_a_gpu and any(each.device.type == "cpu" and each.dim() > 0 for each in given):
            self.found.add(str(function))
        return result


def test_formulas_in_pytorch_copy_nothing_from_the_host():
    """Of layers with moved grids and those without Triton, and of networks in a subspace."""
    with FakeTensorMode(), torch.device("cuda"), _Copies() as copies:
        x = torch.empty(2, 7, 3)
        x.add_(torch.ones(3, device="cpu").to(x))
        assert copies.found == {"aten._to_copy.default"}
        copies.found.clear()
        for degree in range(1, 6):
            edges = Edges(torch.empty(2, 3, 5 + degree, 4), *torch.empty(2, 2, 3, 4))
            grid = 5, degree, (-1.0, 1.0)
            moved = Placement(*torch.empty(2, 2, 1, 3))
            assert dense.product(x, edges, "gelu", grid, moved).is_cuda
            for order in range(degree + 2):
                assert basis(x, *grid, order).is_cuda
        assert walsh_hadamard(torch.empty(3, 128)).is_cuda
    assert copies.found == set()
