"""The Triton kernels without a GPU: interpreted on the CPU, and compiled for one."""

import math
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kancore.bench import compilation
from kancore.bench.on_gpu import LAYERS
from kancore.layers import local_support, on_chip
from kancore.layers.dense import Edges
from kancore.layers.kolmogorov_arnold import KALayer

needs_triton = pytest.mark.skipif(not on_chip.TRITON, reason="Triton is not installed")


@pytest.mark.slow
@needs_triton
def test_the_kernels_in_the_interpreter():
    """In a process of its own: Triton asks for its interpreter when it is imported."""
    checks = Path(__file__).with_name("kernel_checks.py")
    command = [sys.executable, "-m", "pytest", "-q", str(checks)]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr


# Of the study's layers those whose tiles are largest, for GPUs whose tensor cores take factors from
# shared memory (90, 100), from registers (80, 86, 120), and have no TF32 (75). All are in
# `python -m kancore.bench --tables registers`.
HIDDEN, FIRST, LAST, FEW_INPUTS = LAYERS[2], LAYERS[1], LAYERS[3], LAYERS[5]
COMPILED = [
    ("product", FIRST, "tf32", 120),
    ("product", HIDDEN, "bf16", 90),
    ("weight_gradient", FIRST, "tf32", 80),
    ("weight_gradient", HIDDEN, "tf32", 86),
    ("weight_gradient", FEW_INPUTS, "tf32", 90),
    ("weight_gradient", FIRST, "bf16", 100),
    ("weight_gradient", HIDDEN, "tf32", 120),
    ("weight_gradient", LAST, "ieee", 80),
    ("input_gradient", HIDDEN, "tf32", 80),
    ("input_gradient", HIDDEN, "ieee", 90),
    ("input_gradient", LAST, "tf32", 100),
    ("weight_gradient", HIDDEN, "tf32", 75),
]


@pytest.mark.slow
@needs_triton
@pytest.mark.skipif(on_chip.INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize(("kernel", "layer", "precision", "capability"), COMPILED)
def test_the_kernels_keep_to_the_registers_of_a_gpu(kernel, layer, precision, capability):
    found = compilation.compiled(kernel, layer, precision, capability)
    made, report = found.made, found.report
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in report
    assert "Potential Performance Loss" not in report  # products that wait for each other
    assert made.metadata.shared <= 64 * 1024
    code = made.asm["ptx"]
    tensor_cores = precision != "ieee" and capability >= 80
    assert ("mma" in code) == tensor_cores
    # Which multiplies 64 rows at least.
    assert ("wgmma" in code) == (tensor_cores and capability == 90 and layer is not FEW_INPUTS)
    # Tensor cores cut off what is beyond TF32, so factors are rounded to the nearest before.
    assert ("cvt.rna.tf32.f32" in code) == (precision == "tf32" and tensor_cores)
    # Its loops are counted as they run: what multiplies does so for all tiles, and none else.
    counts = compilation.issued(kernel, layer, found)
    _, batch, inputs, _, _ = layer
    named = found.constants
    parts, part, rows, side = (
        named.get(name, 1) for name in ("parts", "part_size", "ROWS", "INPUTS")
    )
    thousand = 1000 * math.ceil(inputs / side) * side / inputs
    if parts > 1:  # whose last tiles of rows are not full
        thousand *= parts * math.ceil(part / rows) * rows / batch
    if not tensor_cores:  # 32 multiplications each, beside those of splines
        assert 1 < counts["float32"] / (thousand / 32) < 3
        assert counts["tensor cores"] == 0
    elif precision == "tf32" and capability in (80, 86, 120):  # HMMA.1688: 16 x 8 x 8 each
        assert counts["tensor cores"] == pytest.approx(thousand / 1024)
    else:  # 16 x 8 x 8 at least
        assert 0 < counts["tensor cores"] <= 1.001 * thousand / 1024
    assert sum(counts[kind] for kind in counts if kind != "all") < counts["all"]


@needs_triton
@pytest.mark.skipif(on_chip.INTERPRETED, reason="the interpreter has no driver")
def test_a_driver_is_asked_once_for_each_gpu(monkeypatch):
    """Of three kinds, also by passes of several threads at once."""
    from triton.runtime.driver import driver

    from kancore.layers import triton_kernels

    kinds, here, asked, launched = (75, 80, 90), threading.local(), Counter(), set()
    here.device = 0

    def target():
        asked[here.device] += 1
        return SimpleNamespace(arch=kinds[here.device])

    class Kernel:
        def __getitem__(self, places):
            return lambda *_, PRECISION="", COLUMNS=0, **__: launched.add(
                (kinds[here.device], PRECISION, COLUMNS)
            )

    gpus = SimpleNamespace(get_current_device=lambda: here.device, get_current_target=target)
    monkeypatch.setattr(driver, "_active", gpus)
    for name in ("_sum_parts", *compilation.KERNELS.values()):
        monkeypatch.setattr(triton_kernels, name, Kernel())
    with torch.device("meta"):
        x, gradient = torch.empty(2, 64, 128), torch.empty(2, 64, 128)
        edges = Edges(torch.empty(2, 128, 8, 128), *torch.empty(2, 2, 128, 128))

    def passes(device):
        here.device = device
        how = edges, "gelu", compilation.GRID, "tf32"
        for _ in range(20):
            triton_kernels.product(x, *how)
            triton_kernels.weight_gradient(x, gradient, *how)
            triton_kernels.input_gradient(x, gradient, *how)

    triton_kernels._capability.cache_clear()
    try:
        for device in range(3):
            passes(device)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(passes, 4 * [0, 1, 2]))
    finally:
        triton_kernels._capability.cache_clear()
    assert asked == {0: 1, 1: 1, 2: 1}
    products = {each for each in launched if each[1]}
    assert products == {
        (75, "ieee", 64),
        (75, "ieee", 32),
        (80, "tf32", 64),
        (90, "tf32", 128),
        (90, "tf32", 64),
    }


def on(device, dtype=torch.float32, elements=1):
    """Stand for a tensor on a device that need not be there."""
    place = torch.device(device)
    return SimpleNamespace(
        device=place,
        dtype=dtype,
        numel=lambda: elements,
        is_meta=device == "meta",
        shape=(1, 1, 1),
    )


def edges_on(*where):
    return Edges(*3 * [on(*where)])


@pytest.fixture
def untried():
    """As in a process that has not tried a kernel, before and after."""
    on_chip.missing.cache_clear()
    yield
    on_chip.missing.cache_clear()


@pytest.mark.usefixtures("untried")
def test_without_triton_one_line_says_so(monkeypatch):
    monkeypatch.setattr(on_chip, "TRITON", False)
    told = "^KANs train in plain PyTorch: Triton is not installed$"
    with pytest.warns(UserWarning, match=told):
        assert not on_chip.applies_to(on("cuda"), edges_on("cuda"))


@pytest.mark.usefixtures("untried")
def test_without_a_compiler_one_line_says_so(monkeypatch):
    def ones(*shape, dtype, device):
        return torch.zeros(*shape)

    def kernel(*arguments):
        raise RuntimeError("Failed to find C compiler. Please specify via CC.\nand more")

    monkeypatch.setattr(on_chip, "TRITON", True)
    monkeypatch.setattr(on_chip.torch, "ones", ones)
    monkeypatch.setattr(torch.ops.kancore, "ka_product", kernel)
    told = (
        r"^KANs train in plain PyTorch: Triton cannot make or run .*: Failed to find C compiler\."
    )
    for _ in range(2):  # tried once
        with pytest.warns(UserWarning, match=told):
            assert not on_chip.applies_to(on("cuda"), edges_on("cuda"))
        monkeypatch.setattr(torch.ops.kancore, "ka_product", None)


@pytest.mark.usefixtures("untried")
def test_kernels_are_tried_on_the_gpu_of_the_inputs(monkeypatch):
    """Another one may be broken, which is why a job has this one, or be of another job."""
    made, said = [], ["Triton Error [CUDA]: out of memory"]

    def ones(*shape, **how):
        made.append(how)
        return torch.zeros(*shape)

    def kernel(*arguments):
        if said:
            raise RuntimeError(said.pop())
        return torch.zeros(1)

    monkeypatch.setattr(on_chip, "TRITON", True)
    monkeypatch.setattr(on_chip.torch, "ones", ones)
    monkeypatch.setattr(torch.ops.kancore, "ka_product", kernel)
    with pytest.raises(RuntimeError, match="out of memory"):  # fewer networks may have room
        on_chip.applies_to(on("cuda:1"), edges_on("cuda:1"))
    assert on_chip.applies_to(on("cuda:1"), edges_on("cuda:1"))
    # Whatever type is the default, kernels are for this one.
    assert made == 6 * [{"dtype": torch.float32, "device": torch.device("cuda", 1)}]
    assert on_chip.applies_to(on("cuda:0"), edges_on("cuda:0"))
    assert made[-1]["device"] == torch.device("cuda", 0)


@pytest.mark.usefixtures("untried")
def test_gpus_of_others_have_no_kernels(monkeypatch):
    monkeypatch.setattr(on_chip, "TRITON", True)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    with pytest.warns(UserWarning, match="^KANs train in plain PyTorch: the kernels are for"):
        assert not on_chip.applies_to(on("cuda"), edges_on("cuda"))


def test_kernels_are_not_tried_within_a_transform(monkeypatch):
    """What fails there would be taken for a lack of the machine."""
    layer, x = KALayer(3, 4), torch.randn(5, 3)
    layer.initialize(0, "kaiming_normal", torch.Generator())
    monkeypatch.setattr(local_support, "LIBRARY", None)
    expected = layer(x)
    monkeypatch.setattr(on_chip, "applies_to", None)
    with pytest.raises(TypeError, match="not callable"):
        layer(x)
    found = torch.func.vmap(layer)(x.unsqueeze(1))
    torch.testing.assert_close(found.squeeze(2).transpose(0, 1), expected)


def test_kernels_are_for_float32_on_one_device(monkeypatch):
    monkeypatch.setattr(on_chip, "TRITON", True)
    monkeypatch.setattr(on_chip, "missing", lambda gpu: None)
    assert on_chip.applies_to(on("cuda"), edges_on("cuda"))
    assert not on_chip.applies_to(on("cuda", torch.float64), edges_on("cuda"))
    assert not on_chip.applies_to(on("cuda"), edges_on("cuda", torch.float64))
    assert not on_chip.applies_to(on("cuda", torch.float32, 0), edges_on("cuda"))
    assert not on_chip.applies_to(on("cpu"), edges_on("cuda"))
    assert not on_chip.applies_to(on("cpu"), edges_on("cpu"))
    assert not on_chip.applies_to(on("mps"), edges_on("mps"))


@pytest.mark.parametrize(
    ("batch", "inputs", "outputs", "within"),
    [
        (2**16, 2**15, 4, False),
        (2**16 - 1, 2**15, 4, True),
        (2**16, 4, 2**15, False),
        (2**16 - 1, 4, 2**15, True),
        (4, 2**14, 2**14, False),  # of coefficients there are 8 to an edge
        (4, 2**14, 2**14 - 1, True),
    ],
)
def test_kernels_are_for_as_many_numbers_of_a_network_as_they_can_count(
    batch, inputs, outputs, within
):
    with torch.device("meta"):
        x = torch.empty(3, batch, inputs)
        edges = Edges(torch.empty(3, inputs, 8, outputs), *torch.empty(2, 3, inputs, outputs))
    assert on_chip.applies_to(x, edges) == within


@pytest.mark.parametrize("spline_scale", ["trained", "folded"])
@pytest.mark.parametrize("shape", [(7, 3), (2, 7, 3)])
def test_shapes_are_known_where_nothing_is_computed(shape, spline_scale):
    layer = KALayer(3, 4, stack=2, spline_scale=spline_scale).to("meta")
    x = torch.empty(shape, device="meta", requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 7, 4)
    assert "ka_product" in str(y.grad_fn)
    wanted = [x, *layer.parameters()]
    found = torch.autograd.grad(y.sum(), wanted)
    assert [each.shape for each in found] == [each.shape for each in wanted]


def test_shapes_that_do_not_fit_never_reach_the_kernels():
    edges = Edges(*(torch.empty(s, device="meta") for s in ((2, 4, 8, 3), (2, 4, 3), (2, 4, 3))))
    grid = 5, 3, (-1.0, 1.0)
    for shape in ((6, 5), (3, 6, 4)):
        with pytest.raises(ValueError, match=r"inputs have shape .*, expected \[batch, 4\]"):
            on_chip.product(torch.empty(shape, device="meta"), edges, "gelu", grid)
    x = torch.empty(6, 4, device="meta")
    for name, wrong in (("coefficients", (2, 4, 7, 3)), ("base", (2, 4, 2)), ("scale", (1, 4, 3))):
        changed = edges._replace(**{name: torch.empty(wrong, device="meta")})
        with pytest.raises(ValueError, match="has shape"):
            on_chip.product(x, changed, "gelu", grid)
