"""What the benchmark compares with: other layers, and the products of a step with nothing else.

Every peer trains by `torch.optim` with fused kernels, as ours does, or by what its package has.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID_SIZE, DEGREE = 5, 3


class RecursiveLayer(nn.Module):
    """A B-spline layer the way most KAN code has it: the recursion of Cox and de Boor on tensors.

    Each edge has a base weight, a spline scale and coefficients, all of them trained.

    Parameters
    ----------
    inputs, outputs
        Widths.
    grid_size, degree
        Uniform spline grid over [-1, 1].
    activation
        Base activation.
    """

    knots: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid_size: int = GRID_SIZE,
        degree: int = DEGREE,
        activation: Callable[[Tensor], Tensor] = F.silu,
    ):
        super().__init__()
        self.degree, self.activation = degree, activation
        steps = torch.arange(-degree, grid_size + degree + 1)
        self.register_buffer("knots", (steps * (2 / grid_size) - 1).expand(inputs, -1))
        self.base = nn.Parameter(torch.empty(outputs, inputs))
        self.coefficients = nn.Parameter(torch.empty(outputs, inputs, grid_size + degree))
        self.scale = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_uniform_(self.base)
        nn.init.kaiming_uniform_(self.scale)
        nn.init.normal_(self.coefficients, std=0.02)

    def basis(self, x: Tensor) -> Tensor:
        """Values of the splines, ``[batch, in, G + k]``."""
        x, knots = x.unsqueeze(-1), self.knots
        values = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x)
        for degree in range(1, self.degree + 1):
            rising = (x - knots[:, : -degree - 1]) / (knots[:, degree:-1] - knots[:, : -degree - 1])
            falling = (knots[:, degree + 1 :] - x) / (knots[:, degree + 1 :] - knots[:, 1:-degree])
            values = rising * values[..., :-1] + falling * values[..., 1:]
        return values

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in]`` to ``[batch, out]``."""
        weight = self.scale.unsqueeze(-1) * self.coefficients
        splines = F.linear(self.basis(x).flatten(1), weight.flatten(1))
        return F.linear(self.activation(x), self.base) + splines


def recursive(widths: Sequence[int]) -> nn.Module:
    """Build a network of recursive layers."""
    return nn.Sequential(*(RecursiveLayer(*pair) for pair in pairwise(widths)))


def inkan(mode: str, widths: Sequence[int]) -> nn.Module:
    """Build a network of the package inkan with a basis mode, ``local`` or ``dense``."""
    from inkan import KANNetwork

    return KANNetwork(list(widths), basis_mode=mode)


def pykan(widths: Sequence[int]) -> nn.Module:
    """Build a network of the package pykan, in its fast mode."""
    from kan import KAN

    network = KAN(
        width=list(widths),
        grid=GRID_SIZE,
        k=DEGREE,
        seed=torch.initial_seed() % 2**32,  # it seeds all generators itself, as NumPy takes it
        auto_save=False,
        symbolic_enabled=False,
    )
    return network.speed()


def flashkan(widths: Sequence[int]) -> nn.Module:
    """Build a network of the package flashkan, which compiles its splines."""
    from flashkan import KANNetwork

    return KANNetwork(list(widths), grid_size=GRID_SIZE, spline_order=DEGREE)


def jaxkan(widths: Sequence[int], optimizer: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Training step of a network of the package jaxkan on one batch, compiled by JAX."""
    import jax
    import optax
    from flax import nnx
    from jaxkan.models.KAN import KAN

    # Its layers that share their splines over the outputs, on a uniform grid.
    network = KAN(list(widths), "spline", {"k": DEGREE, "G": GRID_SIZE, "grid_e": 1.0})
    rules = {
        "sgd": optax.sgd(1e-4),
        "sgd_momentum": optax.sgd(1e-4, momentum=0.9, nesterov=True),
        "adam": optax.adamw(1e-5),
    }
    update = nnx.Optimizer(network, rules[optimizer], wrt=nnx.Param)
    inputs, labels = jax.numpy.asarray(x.cpu().numpy()), jax.numpy.asarray(y.cpu().numpy())

    @nnx.jit
    def train(network, update):
        def loss(network):
            logits = network(inputs)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        update.update(network, nnx.grad(loss)(network))

    def step() -> None:
        train(network, update)
        jax.block_until_ready(nnx.state(network))

    step()  # compiles it
    return step


# Builders of networks from their widths, and the package that each needs.
BUILDERS: dict[str, tuple[str | None, Callable[[Sequence[int]], nn.Module]]] = {
    "recursive": (None, recursive),
    "inkan": ("inkan", partial(inkan, "local")),
    "inkan dense": ("inkan", partial(inkan, "dense")),
    "flashkan": ("flashkan", flashkan),
    "pykan": ("kan", pykan),
}
# The same of peers that are no modules of PyTorch: what makes a step of training.
STEPS = {"jaxkan": ("jaxkan.models.KAN", jaxkan)}  # the package alone imports without JAX


def installed() -> dict[str, Callable[[Sequence[int]], nn.Module]]:
    """Give the builders of all peers that can be imported, by name."""
    return {name: build for name, (package, build) in BUILDERS.items() if _imports(package)}


def steps(
    widths: Sequence[int], optimizer: str, x: Tensor, y: Tensor
) -> dict[str, Callable[[], Callable[[], None]]]:
    """Give what makes a training step of each peer that can be imported, on one batch, by name.

    Parameters
    ----------
    widths
        Widths of the network.
    optimizer
        Name of the optimizer.
    x, y
        The batch.
    """
    found: dict[str, Callable[[], Callable[[], None]]] = {
        name: partial(_step_of_built, build, widths, optimizer, x, y)
        for name, build in installed().items()
    }
    return found | {
        name: partial(make, widths, optimizer, x, y)
        for name, (package, make) in STEPS.items()
        if _imports(package)
    }


def _step_of_built(
    build: Callable[[Sequence[int]], nn.Module],
    widths: Sequence[int],
    optimizer: str,
    x: Tensor,
    y: Tensor,
) -> Callable[[], None]:
    return step_of(build(widths).to(x.device), optimizer, x, y)


def missing() -> list[str]:
    """Give the names of all other peers."""
    peers = BUILDERS | STEPS
    return [name for name, (package, _) in peers.items() if not _imports(package)]


@cache
def _imports(package: str | None) -> bool:
    """Tell whether a package can be imported, with all that it needs but may not have declared."""
    try:
        return package is None or import_module(package) is not None
    except ImportError:
        return False


def optimizer_of(
    parameters: Sequence[Tensor], name: str, rate: float | None = None
) -> torch.optim.Optimizer:
    """One of the study's optimizers, from `torch.optim`; by default at a rate that suits all."""
    match name:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate or 1e-4, fused=True)
        case "sgd_momentum":
            return torch.optim.SGD(
                parameters, lr=rate or 1e-4, momentum=0.9, nesterov=True, fused=True
            )
        case "adam":
            return torch.optim.AdamW(parameters, lr=rate or 1e-5, fused=True)
    raise ValueError(f"optimizer is {name!r}; expected sgd, sgd_momentum or adam")


def train_step(network: nn.Module, update: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """Train a network on a batch: forward, backward, update."""
    update.zero_grad()
    F.cross_entropy(network(x), y).backward()
    update.step()


def step_of(network: nn.Module, optimizer: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Training step of one network on one batch."""
    update = optimizer_of([p for p in network.parameters() if p.requires_grad], optimizer)
    step = partial(train_step, network, update, x, y)
    with warnings.catch_warnings():  # the first step compiles what a peer compiles
        warnings.simplefilter("ignore")
        step()
    return step


def products_of(
    shapes: Sequence[tuple[int, int]], batch: int, optimizers: Sequence[str], device: str = "cpu"
) -> Callable[[], None]:
    """Do the matrix products of a step, and the update of its weights.

    Parameters
    ----------
    shapes
        ``(outputs, features)`` of each layer's product; the first needs no gradient of its input.
    batch
        Examples.
    optimizers
        Names of the optimizers of the networks that take a step together.
    device
        Where.
    """
    features = [torch.randn(batch, columns, device=device) for _, columns in shapes]
    gradients = [torch.randn(batch, rows, device=device) for rows, _ in shapes]
    weights = [
        [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
        for _ in optimizers
    ]
    pairs = zip(weights, optimizers, strict=True)
    updates = [optimizer_of(parameters, name) for parameters, name in pairs]

    def step() -> None:
        for parameters, update in zip(weights, updates, strict=True):
            with torch.no_grad():
                for number, weight in enumerate(parameters):
                    torch.mm(features[number], weight.t())
                    if number:
                        torch.mm(gradients[number], weight)
                    weight.grad = torch.mm(gradients[number].t(), features[number])
            update.step()

    return step
