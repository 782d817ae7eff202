"""Networks of other libraries: the same outputs from their states."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline

from kancore import convert

WIDTHS = [4, 6, 3]


def knots(grid_size, degree, low, high, inputs):
    """As both libraries lay them: of each input, in float32."""
    step = (high - low) / grid_size
    row = torch.arange(-degree, grid_size + degree + 1) * step + low
    return row.expand(inputs, -1).contiguous()


def splines(x, grid, degree):
    """Values ``[batch, in, G + k]`` by SciPy; zero beyond the extended grid."""
    values = np.zeros((*x.shape, grid.shape[1] - degree - 1))
    for j in range(x.shape[1]):
        row = grid[j].double().numpy()
        for m in range(values.shape[2]):
            element = BSpline.basis_element(row[m : m + degree + 2], extrapolate=False)
            values[:, j, m] = np.nan_to_num(element(x[:, j].numpy()))
    return torch.from_numpy(values)


def efficient_state(grid_size, degree, ends=(-1.0, 1.0), standalone=True, generator=None):
    state = {}
    for number, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        prefix = f"layers.{number}."
        state[f"{prefix}base_weight"] = torch.randn(outputs, inputs, generator=generator)
        shape = outputs, inputs, grid_size + degree
        state[f"{prefix}spline_weight"] = 0.3 * torch.randn(shape, generator=generator)
        if standalone:
            state[f"{prefix}spline_scaler"] = torch.randn(outputs, inputs, generator=generator)
        state[f"{prefix}grid"] = knots(grid_size, degree, *ends, inputs)
    return state


def efficient(state, x, degree):
    """Compute what efficient-kan's forward does, in float64."""
    for number in range(len(WIDTHS) - 1):
        part = {
            name.rpartition(".")[2]: value.double()
            for name, value in state.items()
            if name.startswith(f"layers.{number}.")
        }
        weight = part["spline_weight"] * part.get("spline_scaler", torch.ones(1)).unsqueeze(-1)
        values = splines(x, part["grid"], degree)
        x = F.linear(F.silu(x), part["base_weight"])
        x = x + F.linear(values.flatten(1), weight.flatten(1))
    return x


@pytest.mark.parametrize("standalone", [True, False])
@pytest.mark.parametrize(
    ("grid_size", "degree", "ends"), [(5, 3, (-1, 1)), (8, 2, (-2, 3)), (3, 1, (0, 1))]
)
def test_outputs_of_efficient_kan(grid_size, degree, ends, standalone):
    generator = torch.Generator().manual_seed(0)
    state = efficient_state(grid_size, degree, ends, standalone, generator)
    x = torch.randn(200, 4, generator=generator)
    network = convert.from_efficient_kan(state)
    expected = efficient(state, x.double(), degree)
    size = expected.abs().max()
    assert ((network(x) - expected) / size).abs().max() < 1e-6
    double = convert.from_efficient_kan({name: v.double() for name, v in state.items()})
    assert ((double(x.double()) - expected) / size).abs().max() < 1e-6


def test_uniform_grids_that_differ_from_input_to_input():
    generator = torch.Generator().manual_seed(0)
    state = efficient_state(5, 3, generator=generator)
    for name in ("layers.0.grid", "layers.1.grid"):
        inputs = len(state[name])
        scale = 0.5 + torch.rand(inputs, 1, generator=generator)
        state[name] = state[name] * scale + torch.randn(inputs, 1, generator=generator)
    x = torch.randn(200, 4, generator=generator)
    network = convert.from_efficient_kan(state)
    expected = efficient(state, x.double(), 3)
    assert ((network(x) - expected) / expected.abs().max()).abs().max() < 1e-6
    assert all(layer.moving_grid for layer in network.layers)


def test_what_has_no_counterpart_is_refused():
    state = efficient_state(5, 3)
    with pytest.raises(ValueError, match="no parameters of a KAN of pykan"):
        convert.from_pykan(state)
    with pytest.raises(ValueError, match="no parameters of a KAN of efficient-kan"):
        convert.from_efficient_kan({"weight": torch.zeros(2)})
    state["layers.1.grid"][2, 4] += 0.01
    with pytest.raises(ValueError, match="knots of a grid are not evenly spaced"):
        convert.from_efficient_kan(state)


def test_damaged_states_are_refused():
    state = efficient_state(5, 3)
    for name in ("layers.1.grid", "layers.0.spline_weight"):
        with pytest.raises(ValueError, match=f"the state has no {name}"):
            convert.from_efficient_kan({key: v for key, v in state.items() if key != name})
    damaged = {
        "layers.0.spline_weight": torch.zeros(1, 1, 8),
        "layers.1.base_weight": torch.zeros(3, 5),
        "layers.1.spline_scaler": torch.zeros(1, 1),
    }
    for name, value in damaged.items():
        with pytest.raises(ValueError, match="of a layer has shape"):
            convert.from_efficient_kan({**state, name: value})
    del state["layers.1.spline_scaler"]
    with pytest.raises(ValueError, match="scale of a layer has shape None"):
        convert.from_efficient_kan(state)


def test_networks_are_on_the_device_of_the_state_whatever_is_the_default():
    state = efficient_state(5, 3)
    with torch.device("meta"):
        network = convert.from_efficient_kan(state)
    assert network(torch.ones(2, 4)).isfinite().all()


@pytest.fixture
def theirs(tmp_path):
    kan = pytest.importorskip("kan")
    return kan.KAN(width=WIDTHS, grid=5, k=3, seed=1, device="cpu", ckpt_path=str(tmp_path))


def test_outputs_of_pykan(theirs):
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    for _, mask in (each for each in theirs.named_parameters() if each[0].endswith("mask")):
        if mask.shape == (4, 6):
            mask.data[1, 2] = 0
    expected = theirs(x).detach()
    network = convert.from_pykan(theirs.state_dict())
    assert ((network(x) - expected) / expected.abs().max()).abs().max() < 1e-6


def test_what_pykan_has_beside_splines_is_refused(theirs):
    x = torch.randn(200, 4)
    state = theirs.state_dict()
    biased = {**state, "node_bias_0": torch.ones_like(state["node_bias_0"])}
    with pytest.raises(ValueError, match="layer 0 has biases of nodes"):
        convert.from_pykan(biased)
    symbolic = {**state, "symbolic_fun.1.mask": torch.ones_like(state["symbolic_fun.1.mask"])}
    with pytest.raises(ValueError, match="layer 1 has symbolic edges"):
        convert.from_pykan(symbolic)
    theirs.update_grid_from_samples(x)
    with pytest.raises(ValueError, match="not evenly spaced"):
        convert.from_pykan(theirs.state_dict())
