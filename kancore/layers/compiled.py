"""Compiled kernels for the CPU: their libraries, and the updates of weights that they do.

The source beside a module, ``<module>_cpp``, is compiled, where there is a compiler, when the
package is installed: once for each width of vectors, of which this processor's widest is loaded.
What all kernels share is beside this module.
"""

import ctypes
import importlib.machinery
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from kancore.layers import transforms
from kancore.layers.initialization import check_filled, drawn, of_layers
from kancore.machine.cpp import source_digest

# Compiled forms, widest first, by what PyTorch calls the processors that can run them.
FORMS = {"AVX512": ("avx512", "avx2", "generic"), "AVX2": ("avx2", "generic")}
# Numbers of a vector, as `vectors.h` has them.
LANES = {"avx512": 16, "avx2": 8, "generic": 4}
# In the order of their numbers in the source.
OPTIMIZERS = ("sgd", "sgd_momentum", "adam")
_HERE = Path(__file__).parent
# Tensors that nobody wraps, batches, negates or keeps elsewhere.
_PLAIN_TYPES = Tensor, nn.Parameter
_PLAIN_KEYS = torch._C._dispatch_keys(torch.empty(0, device="cpu")).raw_repr()

# A layer's parameters, or what belongs to them, such as gradients; null where there is none.
Pointers = ctypes.c_void_p * 3


class Update(ctypes.Structure):
    """How one network's parameters are updated; mirrors that of ``updates.h``."""

    _fields_ = (
        ("optimizer", ctypes.c_int32),
        *(
            (name, ctypes.c_float)
            for name in ("rate", "momentum", "second_momentum", "epsilon", "decay")
        ),
        ("first", Pointers),
        ("second", Pointers),
    )


def source_files(module: str) -> list[Path]:
    """Give the files that a module's kernels are compiled from."""
    folders = (_HERE / f"{each}_cpp" for each in ("compiled", module))
    return [file for folder in folders for file in sorted(folder.iterdir())]


class Kernels(ctypes.CDLL):
    """A compiled form of a module's kernels."""

    lanes: int  # numbers of a vector


def load(module: str, form: str) -> Kernels:
    """Load one compiled form of a module's kernels, whether or not this processor can run it.

    Raises
    ------
    OSError
        If it is not there, or was compiled from another version of its source.
    """
    path = _HERE / f"_{module}_{form}{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    if not path.is_file():
        raise OSError("not compiled at installation")
    library = Kernels(str(path))
    library.lanes = LANES[form]
    library.kancore_source.restype = ctypes.c_char_p
    if library.kancore_source().decode() != source_digest(source_files(module)):
        raise OSError("compiled from another version of its source: install the package again")
    return library


def widest(load_form: Callable[[str], Kernels]) -> tuple[Kernels | None, str]:
    """Load the widest form that this processor runs.

    Parameters
    ----------
    load_form
        Loads a form, as `load` does.

    Returns
    -------
    library : Kernels or None
        ``None`` where there is none.
    form : str
        Its name, or why there is none, for people to read.
    """
    for form in FORMS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
        try:
            return load_form(form), form
        except OSError as error:
            reason = str(error)
    return None, f"none ({reason})"


def address(tensor: Tensor) -> int:
    """Give the address of a tensor's numbers.

    Raises
    ------
    ValueError
        Unless they lie in the memory of a CPU as kernels read them: float32, contiguous, as they
        are and not negated, all of them in memory that is there.
    """
    if (
        tensor.dtype == torch.float32
        and tensor.is_cpu
        and tensor.layout == torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and 4 * (tensor.storage_offset() + tensor.numel()) <= tensor.untyped_storage().nbytes()
        and (found := tensor.data_ptr())
    ):
        return found
    raise ValueError(
        f"{type(tensor).__name__} of shape {list(tensor.shape)}, {tensor.dtype} on "
        f"{tensor.device}, cannot be read by kernels: expected numbers of float32, contiguous in "
        "the memory of a CPU"
    )


def pointer(tensor: Tensor | None) -> int | None:
    """Address of a tensor's numbers, or null where there is none."""
    return None if tensor is None else address(tensor)


def pointers(tensors: Iterable[Tensor | None]) -> ctypes.Array:
    """Addresses of a layer's parameters, or of what belongs to them, in their order."""
    return Pointers(*map(pointer, tensors))


@dataclass(frozen=True, eq=False)
class Fused:
    """How the weights of each network of a stack are updated, instead of getting a gradient."""

    updates: ctypes.Array
    steps: Tensor
    described: list[dict]  # with the buffers that `updates` points to
    storages: list[tuple[torch.UntypedStorage, int, int]]  # their memory, where it was, its size

    def __reduce__(self):
        # A copy of a layer has other weights, of which the buffers know nothing: it has gradients.
        return type(None), ()

    def begin(self) -> tuple[ctypes.Array, float]:
        """Give the updates, and the number of the step, to a backward pass that does them.

        Raises
        ------
        ValueError
            If the memory of a buffer has gone since they were described.
        """
        for storage, place, size in self.storages:
            if storage.data_ptr() != place or storage.nbytes() < size:
                raise ValueError(
                    "buffers of an optimizer have left their memory: fuse the layer again"
                )
        return self.updates, self.steps.item()

    def scale_rates(self, factor: float) -> None:
        """Multiply the learning rates, as they were described, by `factor`."""
        for update, described in zip(self.updates, self.described, strict=True):
            update.rate = factor * described["rate"]

    def part(self, start: int, size: int) -> "Fused":
        """Give those of some networks; their rates are scaled with those of the whole."""
        described = self.described[start : start + size]
        offset = start * ctypes.sizeof(Update)
        updates = (Update * len(described)).from_buffer(self.updates, offset)
        return Fused(updates, self.steps, described, self.storages)


def suit(x: Tensor, *parameters: Tensor) -> bool:
    """Whether kernels are for inputs of this kind, and for parameters, of which there are some."""
    if torch.compiler.is_exporting() and transforms.exporting_to_onnx():
        return False
    for tensor in (x, *parameters):
        if not (tensor.is_cpu and tensor.dtype == torch.float32 and tensor.layout == torch.strided):
            return False
    return all(parameter.numel() for parameter in parameters)


def fused(updates: list[dict], steps: Tensor, parameters: Sequence[Tensor]) -> Fused:
    """Let kernels update weights in the backward pass, which saves writing and reading gradients.

    Parameters
    ----------
    updates
        For each network: ``optimizer`` (``sgd``, ``sgd_momentum`` or ``adam``), ``rate``,
        ``momentum``, ``second_momentum``, ``epsilon``, ``decay``; and its buffers ``first`` and
        ``second``, each for one network and all of the layer's parameters, or ``None``.
    steps
        Number of the current step, from 1, at the time of the backward pass; a scalar.
    parameters
        Of the layer, whose shapes buffers have.

    Raises
    ------
    ValueError
        If an optimizer lacks a buffer, or one is not as large as its parameter.
    """
    for update in updates:
        needed = OPTIMIZERS.index(update["optimizer"])
        for name in ("first", "second")[:needed]:
            shapes = [tuple(buffer.shape) for buffer in update[name] or ()]
            expected = [tuple(parameter.shape[1:]) for parameter in parameters]
            if shapes != expected:
                raise ValueError(
                    f"{name} buffers of {update['optimizer']} have shapes {shapes}, "
                    f"expected {expected}"
                )
    described = [
        Update(
            **u
            | {"optimizer": OPTIMIZERS.index(u["optimizer"])}
            | {name: pointers(u[name] or ()) for name in ("first", "second")}
        )
        for u in updates
    ]
    return Fused((Update * len(updates))(*described), steps, updates, _storages(updates))


def _storages(updates: list[dict]) -> list[tuple[torch.UntypedStorage, int, int]]:
    """Memory of all buffers, its address and its size; of networks side by side one."""
    buffers = [b for u in updates for b in (*(u["first"] or ()), *(u["second"] or ()))]
    storages = {each.data_ptr(): each for each in (b.untyped_storage() for b in buffers)}
    return [(storage, place, storage.nbytes()) for place, storage in storages.items()]


def there(library: Kernels | None) -> Kernels:
    """Give kernels, or raise a RuntimeError where an operator is called without them."""
    if library is None:
        raise RuntimeError("there are no compiled kernels, expected a call of the layer itself")
    return library


def refuse_updates(parameters: Sequence[Tensor]) -> None:
    """Raise an error where a layer's updates would be lost, or would be those of frozen weights."""
    if transforms.active() or torch.compiler.is_exporting():
        raise RuntimeError(
            "the layer updates its parameters in the backward pass, which torch.func cannot "
            "transform and torch.export cannot export; expected a layer that was not fused, or "
            "whose optimizer was released"
        )
    if any(each.requires_grad != parameters[0].requires_grad for each in parameters):
        raise ValueError(
            "some of the layer's parameters are frozen and others are not, and updates in the "
            "backward pass are of all; expected a layer that was not fused, or whose optimizer "
            "was released"
        )


def _plainly(arguments: Sequence) -> bool:
    """Whether the dispatcher would find nothing to do on the way to the kernels but autograd.

    Each of its calls into Python costs as much as a small product.
    """
    if torch.compiler.is_compiling() or transforms.watched():
        return False
    for each in arguments:
        if isinstance(each, Tensor) and not (
            type(each) in _PLAIN_TYPES and torch._C._dispatch_keys(each).raw_repr() == _PLAIN_KEYS
        ):
            return False
    return True


def register(
    library: torch.library.Library,
    name: str,
    function: Callable,
    shapes: Callable,
    backward: Callable,
    save: Callable,
    batch: Callable,
) -> Callable:
    """Make an operator of kernels what PyTorch expects of its own.

    Parameters
    ----------
    library, name
        Where it is defined.
    function
        Computes it on a CPU.
    shapes
        Gives outputs without numbers: on the device meta, and while programs are traced.
    backward, save
        As `backward` and `setup_context` of `torch.library.register_autograd`.
    batch
        As for `torch.library.register_vmap`.

    Returns
    -------
    Callable
        Calls the operator; on plain tensors it calls `function` itself, and autograd if that is
        wanted.
    """
    library.impl(name, function, "CPU")
    # Not by `torch.library.register_fake`, which looks for the caller's source for 0.2 s.
    library.impl(name, shapes, "Meta")
    qualified = f"{library.ns}::{name}"
    operator = getattr(getattr(torch.ops, library.ns), name).default

    def below_autograd(*arguments):
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*arguments)

    class Differentiable(torch.autograd.Function):
        evaluate = staticmethod(below_autograd)

        @classmethod
        def forward(cls, ctx, *arguments):
            found = cls.evaluate(*arguments)
            save(ctx, arguments, found)
            return found

        @staticmethod
        def backward(ctx, *gradients):
            return backward(ctx, *gradients)

    class Plain(Differentiable):
        evaluate = staticmethod(function)

    def differentiable(*arguments):
        return (Differentiable.apply if torch.is_grad_enabled() else below_autograd)(*arguments)

    def call(*arguments):
        if _plainly(arguments):
            return (Plain.apply if torch.is_grad_enabled() else function)(*arguments)
        return (operator if torch.is_grad_enabled() else below_autograd)(*arguments)

    # Not by `torch.library.register_autograd`, whose calls take four times as long as these.
    library.impl(name, differentiable, "Autograd")
    torch.library.register_autocast(qualified, "cpu", torch.float32, lib=library)
    torch.library.register_vmap(qualified, batch, lib=library)
    return call


class KernelLayer(nn.Module):
    """A layer that updates its parameters in the backward pass, where it has kernels for it."""

    update: Fused | None = None
    # Whether products take their factors rounded to bfloat16, which the kernels of a CPU do not.
    products_in_bfloat16 = False

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters that the kernels take, in their order."""
        raise NotImplementedError

    @torch.no_grad()
    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw the parameters of network `index`."""
        function = of_layers(initialization)
        if function is None:
            self.draw(index, initialization, generator)
            return
        alone: dict[int, object] = {
            id(parameter): nn.Parameter(drawn((1, *parameter.shape[1:])).fill_(torch.nan))
            for parameter in self.parameters()
        }
        alone |= {id(buffer): buffer[index : index + 1].cpu() for buffer in self.buffers()}
        layer = deepcopy(self, alone)
        function(layer, generator)
        filled = dict(layer.named_parameters())
        for name, parameter in self.named_parameters():
            check_filled(initialization, name, filled[name], (1, *parameter.shape[1:]))
            parameter[index] = filled[name][0].to(parameter)

    def draw(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw the parameters of network `index` by an initialization of matrices."""
        raise NotImplementedError

    def has_kernels(self) -> bool:
        """Whether there are kernels for the parameters as they are."""
        raise NotImplementedError

    def fuse(self, updates: list[dict], steps: Tensor) -> Fused | None:
        """Update the parameters in the backward pass from now on, where there are kernels for it.

        Parameters
        ----------
        updates, steps
            As for `fused`.

        Returns
        -------
        Fused or None
            What the backward pass reads; ``None`` where there are no kernels.
        """
        parameters = list(self.parameters())
        # Not where a weight is computed from others, as pruning and parametrizations have it.
        own = {name for name, _ in self.named_parameters()} == set(self.weights)
        if own and self.has_kernels():
            self.update = fused(updates, steps, parameters)
        return self.update
