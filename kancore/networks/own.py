"""Networks of the user's own, as a function of the widths makes them, in a stack.

The function gives plain PyTorch modules. One of them is kept, and computes with the stacked
parameters and buffers of all networks: with all at once by `torch.func.vmap` where what it does
allows that, else with one network after the other.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from kancore import networks
from kancore.layers.compiled import KernelLayer
from kancore.layers.initialization import fill
from kancore.layers.linear import BatchNorm, LayerNorm
from kancore.machine import own_code
from kancore.networks.network import Network, Stack, random_generator
from kancore.networks.parts import CACHED, Needs
from kancore.schemes import INITIALIZATIONS, Architecture

# Examples of the batch that a network is tried on.
_TRIED = 4

Build = Callable[[tuple[int, ...]], nn.Module]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let all that draws from global random states draw by a seed; then they are as before."""
    numpy = np.random.mtrand._rand  # behind the functions of numpy.random, which users may call
    before = torch.get_rng_state(), numpy.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    numpy.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        numpy.set_state(before[1])
        random.setstate(before[2])


@torch.no_grad()
def _make(build: Build, widths: tuple[int, ...], initialization: str, generator: Generator):
    """Build one network, all of whose numbers come from `generator`."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with _seeded(seed):
        module = build(widths)
        if not isinstance(module, nn.Module):
            return module
        _initialize(module, initialization, generator, set())
    return module


def _initialize(
    module: nn.Module, initialization: str, generator: Generator, done: set[object]
) -> None:
    """Draw a module and those in it: each as it does itself, or else as matrices."""
    if module in done:
        return
    done.add(module)
    if isinstance(module, Network | KernelLayer):
        for index in range(len(next(module.parameters()))):
            module.initialize(index, initialization, generator)
    elif callable(own := getattr(module, "initialize", None)):
        own(initialization, generator)
    elif not isinstance(module, BatchNorm | LayerNorm):  # whose vectors are of one network, [1, n]
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter.dim() > 1 and parameter not in done:
                done.add(parameter)
                weight = torch.empty(parameter.flatten(1).shape, dtype=parameter.dtype)
                parameter.copy_(fill(weight, initialization, generator).view_as(parameter))
        for child in module.children():
            _initialize(child, initialization, generator, done)


def _trained(module: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _kept(module: nn.Module) -> dict[str, Tensor]:
    """Buffers, and parameters that are not trained."""
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


def _apply(
    module: nn.Module,
    trained: dict[str, Tensor],
    kept: dict[str, Tensor],
    x: Tensor,
    together: bool,
    size: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute with stacked tensors: outputs ``[S, batch, out]``, and what takes places in `kept`.

    What the module changes in place is changed there. Of networks that are computed together it is
    `size` at once, or all.
    """

    def one(trained, kept, x):
        tensors = {**trained, **kept}
        outputs = functional_call(module, tensors, (x,))
        # It leaves the tensors there that the module has put in the place of its buffers.
        return outputs, {name: tensors[name] for name in kept if tensors[name] is not kept[name]}

    stack = len(next(iter(trained.values())))
    divide: Callable[[Tensor], tuple[Tensor, ...]]
    join: Callable[[list[Tensor]], Tensor]
    if together:
        compute = vmap(one, in_dims=(0, 0, None), randomness="same")
        divide, join = partial(torch.split, split_size_or_sections=size or stack), torch.cat
    else:
        compute, divide, join = one, torch.unbind, torch.stack
    # Divided as a whole, as the gradient of a row taken alone is as large as the whole.
    divided = [{name: divide(each) for name, each in part.items()} for part in (trained, kept)]
    generator = random_generator(x.device)
    state = generator.get_state() if module.training else None
    results = []
    for place in range(len(next(iter(divided[0].values())))):
        if state is not None:
            generator.set_state(state)  # one mask for all networks
        own, its = ({name: each[place] for name, each in part.items()} for part in divided)
        results.append(compute(own, its, x))
    outputs = join([outputs for outputs, _ in results])
    _, replaced = results[0]
    return outputs, {name: join([new[name] for _, new in results]) for name in replaced}


def _can_stack(module: nn.Module, x: Tensor) -> bool:
    """Whether `vmap` does in training and evaluation what the module does alone."""
    for training in (True, False):
        module.train(training)
        try:
            found = _try(module, x, True)
        except Exception:  # in all the ways in which what is computed may not allow it
            return False
        if not all(map(_near, found, _try(module, x, False))):
            return False
    return True


def _near(one: Tensor, other: Tensor) -> bool:
    if not other.is_floating_point():
        return torch.equal(one, other)
    rounding = 1e-4 * other.abs().amax() if other.numel() else 0
    return torch.allclose(one, other, rtol=1e-3, atol=float(rounding), equal_nan=True)


def _try(module: nn.Module, x: Tensor, together: bool) -> list[Tensor]:
    """Compute outputs and buffers of a stack of this network alone; in training, gradients too."""
    trained = {name: p.detach()[None].requires_grad_() for name, p in _trained(module).items()}
    kept = {name: each.detach().clone()[None] for name, each in _kept(module).items()}
    # Under one seed for both ways, so that masks are the same.
    with _seeded(0), catch_warnings(), torch.set_grad_enabled(module.training):
        filterwarnings("error", message="There is a performance drop")  # `vmap` would loop itself
        outputs, replaced = _apply(module, trained, kept, x, together)
        kept |= replaced
        if not module.training:
            return [outputs, *kept.values()]
        gradients = torch.autograd.grad(
            _loss(outputs), list(trained.values()), allow_unused=True, materialize_grads=True
        )
    # In one, as a gradient that is zero but for rounding is near zero beside the others alone.
    gradient = torch.cat([each.flatten() for each in gradients])
    return [each.detach() for each in (outputs, gradient, *kept.values())]


def _loss(outputs: Tensor) -> Tensor:
    flat = outputs.flatten(0, -2)
    return F.cross_entropy(flat, torch.arange(len(flat)) % flat.shape[-1])


class OwnStack(Stack):
    """A stack of networks of the user's own.

    Parameters
    ----------
    build
        Makes one network from the widths: a module that maps ``[batch, in]`` to ``[batch, out]``.
    widths
        Input, hidden and output widths.
    stack
        Number of networks, S, left to `initialize`.

    Attributes
    ----------
    together : bool
        Whether `torch.func.vmap` computes all networks at once. The result is the same.
    """

    def __init__(self, build: Build, widths: Sequence[int], stack: int):
        super().__init__()
        self._make = partial(_make, build, tuple(widths))
        module = self._make(INITIALIZATIONS[0], Generator().manual_seed(0))
        for name, tensor in _trained(module).items():
            value = tensor.detach().new_empty(stack, *tensor.shape)
            self.register_parameter(_place(name), nn.Parameter(value))
        for name, tensor in _kept(module).items():
            self.register_buffer(_place(name), tensor.detach().new_empty(stack, *tensor.shape))
        self._names = [*_trained(module)], [*_kept(module)]
        self.together = _can_stack(module, _inputs(widths))
        self._activations = _activations(module, widths)
        # In a tuple: its own parameters are none of the stack's.
        self._module = (module.train(),)

    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Build network `index` anew, all of its numbers drawn from `generator`."""
        module = self._make(initialization, generator)
        for name, tensor in (*_trained(module).items(), *_kept(module).items()):
            getattr(self, _place(name)).data[index] = tensor.detach()

    def train(self, mode: bool = True) -> "OwnStack":
        """Set the mode of the networks."""
        self._module[0].train(mode)
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``[batch, in]`` to logits ``[S, batch, out]``."""
        trained, kept = (
            {name: getattr(self, _place(name)) for name in names} for names in self._names
        )
        size = None
        if x.device.type == "cpu":  # as many as its cache has room for
            size = max(1, CACHED // (len(x) * self._activations))
        outputs, replaced = _apply(self._module[0], trained, kept, x, self.together, size)
        for name, value in replaced.items():  # not copied: gradients may need what was there
            setattr(self, _place(name), value.detach())
        return outputs


def _place(name: str) -> str:
    """Name of a tensor in the stack: without a dot, and unlike all that a stack has."""
    return f"own/{name.replace('.', '/')}"


def _inputs(widths: Sequence[int], examples: int = _TRIED) -> Tensor:
    return torch.randn(examples, widths[0], generator=Generator().manual_seed(0))


def from_architecture(architecture: Architecture, widths: Sequence[int], stack: int) -> OwnStack:
    """Build a stack for an architecture."""
    return OwnStack(own_code.load(architecture.model), widths, stack)


def measure(model: str, widths: Sequence[int]) -> Needs:
    """Try a function: whether its networks can be trained, and what one of them needs.

    Parameters
    ----------
    model
        ``module:function``.
    widths
        Input, hidden and output widths.

    Returns
    -------
    Needs
        What training takes.

    Raises
    ------
    ValueError
        In one sentence that names the function, if it cannot be imported or fails, makes no
        module, or one that maps inputs to other shapes, has nothing to train, changes its inputs,
        or gives another network or other outputs for the same seed.
    """
    widths = tuple(widths)
    build, file = own_code.load(model), own_code.source(model)

    def attempt(what: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            raise ValueError(f"{model}: {what} fails: {own_code.reason(error, file)}") from error

    def make() -> nn.Module:
        generator = Generator().manual_seed(0)
        return attempt(
            f"{model.partition(':')[2]}({widths})",
            lambda: _make(build, widths, INITIALIZATIONS[0], generator),
        )

    first, second = make(), make()
    if not isinstance(first, nn.Module):
        raise ValueError(f"{model} gives {type(first).__name__}; expected a torch.nn.Module")
    if not _trained(first):
        raise ValueError(f"{model}: its network has no parameters to train")
    if unlike := _unlike(first, second):
        raise ValueError(
            f"{model}: the same seed gives networks that differ in {unlike}; expected all numbers "
            "drawn by torch, numpy.random or random, without a seed of their own"
        )
    x, shape = _inputs(widths), (_TRIED, widths[-1])
    for mode in (False, True):
        outputs = []
        for place, module in enumerate((first, second)):
            module.train(mode)
            given = x.clone()
            # Evaluation is to draw nothing, so there seeds differ.
            with _seeded(0 if mode else place):
                what = f"its network on inputs {list(given.shape)}"
                outputs.append(attempt(what, partial(module, given)))
            if not torch.equal(given, x):
                raise ValueError(f"{model}: its network changes its inputs in place")
        found = getattr(outputs[0], "shape", type(outputs[0]).__name__)
        if found != shape:
            made = list(found) if isinstance(found, tuple) else found
            raise ValueError(
                f"{model}: its network makes {made} of inputs {list(x.shape)}; expected "
                f"{list(shape)}"
            )
        if not torch.equal(*(each.nan_to_num() for each in outputs)):
            when = "training, under one seed," if mode else "evaluation"
            raise ValueError(f"{model}: in {when} the same inputs give different outputs")
    attempt("the gradient of its network", lambda: _try(first, x, False))
    return Needs(
        parameters=sum(each.numel() for each in _trained(first).values()),
        buffers=sum(each.numel() for each in _kept(first).values()),
        activations=_activations(first, widths),
        together=_can_stack(first, x),
    )


def check_initialization(name: str, architecture: Architecture, inputs: int, outputs: int) -> None:
    """Try an initialization of the user's own on a network.

    Parameters
    ----------
    name
        ``module:function``.
    architecture, inputs, outputs
        Of the network, as for `kancore.networks.build`.

    Raises
    ------
    ValueError
        In one sentence that names the function, if it cannot be imported or fails, leaves a
        parameter without finite numbers or of another shape, or draws from another generator.
    """
    own_code.load(name)
    network, again = (networks.build(architecture, inputs, outputs, 1) for _ in range(2))
    try:
        for each in (network, again):
            each.initialize(0, name, Generator().manual_seed(0))
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{name}: "):
            raise
        why = own_code.reason(error, own_code.source(name))
        raise ValueError(f"{name} fails: {why}") from error
    if different := _unlike(network, again):
        raise ValueError(
            f"{name}: {different} differs with the same generator; expected numbers from it alone"
        )


def _unlike(first: nn.Module, second: nn.Module) -> str | None:
    """Name the first tensor in which two networks differ."""
    tensors = [{**_trained(module), **_kept(module)} for module in (first, second)]
    for name in dict.fromkeys([*tensors[0], *tensors[1]]):
        one, other = (each.get(name) for each in tensors)
        if one is None or other is None or not torch.equal(one.nan_to_num(), other.nan_to_num()):
            return name
    return None


def _activations(module: nn.Module, widths: Sequence[int]) -> int:
    """Count the numbers that a network keeps of each example for its gradients."""
    fewer = _TRIED // 2
    more_saved, saved = (_saved(module, _inputs(widths, count)) for count in (_TRIED, fewer))
    return max(sum(widths), round((more_saved - saved) / (_TRIED - fewer)))


def _saved(module: nn.Module, x: Tensor) -> float:
    """Numbers that a network keeps of a batch for its gradients."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with _seeded(0), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _loss(module.train()(x))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 4
