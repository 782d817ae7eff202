"""Kolmogorov-Arnold networks of other libraries, from the states that they save.

Edges there are what they are here, ``w act(x) + s sum_m c_m B_m(x)`` with splines on a uniform
extended grid, so that outputs are the same but for rounding. Grids whose knots are not evenly
spaced have no counterpart here, nor have pykan's symbolic edges and multiplications.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from kancore.networks.kan import KAN

# Greatest departure of a knot from its place on a uniform grid, in intervals.
_EVEN = 1e-4


def from_efficient_kan(state: Mapping[str, Tensor], activation: str = "silu") -> KAN:
    """Make a network of an ``efficient_kan.KAN`` (github.com/Blealtan/efficient-kan).

    Parameters
    ----------
    state
        Its ``state_dict()``; of the layers ``base_weight`` ``[out, in]``, ``spline_weight``
        ``[out, in, G + k]``, ``grid`` ``[in, G + 2 k + 1]`` and, where it is there,
        ``spline_scaler`` ``[out, in]``.
    activation
        Name of its base activation.

    Returns
    -------
    KAN
        Of the same type and on the same device.

    Raises
    ------
    ValueError
        If the state is another's, or a grid is not uniform.
    """
    layers = []
    for number in _numbers(state, r"layers\.(\d+)\.base_weight$", "efficient-kan"):
        part = _part(state, f"layers.{number}.", "grid", "spline_weight")
        scale = part.get("spline_scaler")
        layers.append(
            {
                "grid": part["grid"],
                "coefficients": part["spline_weight"].permute(1, 2, 0),
                "base": part["base_weight"].T,
                "scale": None if scale is None else scale.T,
            }
        )
    return _network(layers, activation)


def from_pykan(state: Mapping[str, Tensor], activation: str = "silu") -> KAN:
    """Make a network of a ``kan.KAN`` (pykan; Liu et al. 2024).

    Parameters
    ----------
    state
        Its ``state_dict()``; of the layers ``act_fun.N``: ``coef`` ``[in, out, G + k]``, ``grid``
        ``[in, G + 2 k + 1]``, ``scale_base``, ``scale_sp`` and ``mask`` ``[in, out]``. Masks and
        scales of nodes are multiplied into the weights.
    activation
        Name of its base function.

    Returns
    -------
    KAN
        Of the same type and on the same device.

    Raises
    ------
    ValueError
        If the state is another's, a grid is not uniform, or it has what has no counterpart here:
        symbolic edges, multiplications, or biases of nodes.
    """
    layers = []
    for number in _numbers(state, r"act_fun\.(\d+)\.coef$", "pykan"):
        part = _part(state, f"act_fun.{number}.", "grid", "mask", "scale_base", "scale_sp")
        factor = part["mask"]
        symbolic = state.get(f"symbolic_fun.{number}.mask")
        if symbolic is not None and symbolic.any():
            raise ValueError(f"layer {number} has symbolic edges, expected splines alone")
        for kind in ("node", "subnode"):
            bias = state.get(f"{kind}_bias_{number}")
            if bias is not None and bias.any():
                raise ValueError(f"layer {number} has biases of nodes, expected none but zeros")
            scale = state.get(f"{kind}_scale_{number}")
            if scale is not None:
                if scale.shape != factor.shape[1:]:
                    raise ValueError(
                        f"layer {number} has {len(scale)} {kind}s of {factor.shape[1]} sums, "
                        "expected no multiplications"
                    )
                factor = factor * scale
        layers.append(
            {
                "grid": part["grid"],
                "coefficients": part["coef"].permute(0, 2, 1),
                "base": factor * part["scale_base"],
                "scale": factor * part["scale_sp"],
            }
        )
    return _network(layers, activation)


def _numbers(state: Mapping[str, Tensor], pattern: str, library: str) -> range:
    """Numbers of the layers of a state."""
    found = {int(match[1]) for name in state if (match := re.match(pattern, name))}
    if not found or found != set(range(len(found))):
        names = ", ".join(list(state)[:4])
        raise ValueError(f"{names} ... are no parameters of a KAN of {library}")
    return range(len(found))


def _part(state: Mapping[str, Tensor], prefix: str, *names: str) -> dict[str, Tensor]:
    """Tensors of a layer, `names` at least."""
    part = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    if missing := ", ".join(prefix + name for name in names if name not in part):
        raise ValueError(f"the state has no {missing}")
    return part


def _network(layers: list[dict], activation: str) -> KAN:
    """Make a network of layers' grids and parameters, laid out as those of `Edges` are."""
    grids = [_grid(layer["grid"], layer["coefficients"].shape[1]) for layer in layers]
    if len({(size, degree) for size, degree, _ in grids}) > 1:
        raise ValueError("layers have grids of other sizes or degrees, expected the same for all")
    grid_size, degree, ends = grids[0]
    low, high = ends[0].tolist()
    moved = not all(torch.allclose(each, ends[0]) for _, _, each in grids)
    folded = layers[0]["scale"] is None
    widths = [len(layers[0]["base"]), *(layer["base"].shape[1] for layer in layers)]
    with torch.device(layers[0]["base"].device):
        network = KAN(
            widths,
            *(grid_size, degree, (low, high), activation),
            spline_scale="folded" if folded else "trained",
            moving_grid=moved,
        )
    network.to(layers[0]["base"])
    with torch.no_grad():
        for own, layer, (_, _, of_inputs) in zip(network.layers, layers, grids, strict=True):
            for target, name in zip(own.edges, ("coefficients", "base", "scale"), strict=True):
                shapes = [None if e is None else tuple(e.shape) for e in (target, layer[name])]
                if shapes[0] != (shapes[1] and (1, *shapes[1])):
                    raise ValueError(
                        f"{name} of a layer has shape {shapes[1]}, expected "
                        f"{shapes[0] and shapes[0][1:]}: layers do not fit each other"
                    )
                if target is not None:
                    target[0] = layer[name]
            if moved:
                stretch = (high - low) / (of_inputs[:, 1] - of_inputs[:, 0])
                own.grid_stretch[0] = stretch
                own.grid_centre[0] = of_inputs.mean(1) - (low + high) / 2 / stretch
    return network


def _grid(knots: Tensor, coefficients: int) -> tuple[int, int, Tensor]:
    """Intervals, degree, and ends of the grid of each input, ``[in, 2]`` in float64."""
    degree = knots.shape[1] - coefficients - 1
    grid_size = coefficients - degree
    knots = knots.detach().double()
    first, last = knots[:, :1], knots[:, -1:]
    steps = torch.linspace(0, 1, knots.shape[1], dtype=torch.float64, device=knots.device)
    uneven = (knots - (first + (last - first) * steps)).abs().max()
    interval = float(((last - first) / (knots.shape[1] - 1)).min())
    if not (interval > 0 and uneven <= _EVEN * interval):
        raise ValueError(
            "knots of a grid are not evenly spaced, expected a uniform grid: one that was never "
            "adapted, or with grid_eps=1"
        )
    # From the outer knots, whose rounding weighs least.
    own = first + (last - first) * steps
    return grid_size, degree, torch.stack((own[:, degree], own[:, -1 - degree]), dim=1)
