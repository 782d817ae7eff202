"""What every network is made of: linear layers, normalization, dropout."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from kancore.layers import products
from kancore.layers.compiled import KernelLayer
from kancore.layers.initialization import drawn, fill
from kancore.layers.shapes import check_inputs, whole


class Linear(KernelLayer):
    """Affine maps of a stack of networks; ``weight [S, out, in]``, ``bias [S, out]``.

    Parameters
    ----------
    inputs, outputs
        Widths.
    stack
        Number of networks.
    uniform_bias
        Whether biases begin as in `torch.nn.Linear`, uniform within ``1 / sqrt(inputs)``, and not
        as zeros.
    gain
        As for `kancore.layers.initialization.fill`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stack: int = 1,
        uniform_bias: bool = False,
        gain: str = "rectifier",
    ):
        super().__init__()
        inputs, outputs, stack = whole(inputs=inputs, outputs=outputs, stack=stack)
        self.uniform_bias, self.gain = uniform_bias, gain
        self.weight = nn.Parameter(torch.empty(stack, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(stack, outputs))

    @torch.no_grad()
    def draw(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw the weights and the biases of network `index`."""
        weight, bias = drawn(self.weight.shape[1:]), drawn(self.bias.shape[1:]).zero_()
        self.weight[index] = fill(weight, initialization, generator, self.gain).to(self.weight)
        if self.uniform_bias:
            bound = self.weight.shape[2] ** -0.5
            bias.uniform_(-bound, bound, generator=generator)
        self.bias[index] = bias.to(self.bias)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters that the kernels take, in their order."""
        return "weight", "bias"

    def has_kernels(self) -> bool:
        """Whether there are kernels for the parameters as they are."""
        return not self.products_in_bfloat16 and products.applies_to(self.weight, self.bias)

    def forward(self, x: Tensor, activation: str | None = None) -> Tensor:
        """Map ``[batch, in]`` or ``[S, batch, in]`` to ``[S, batch, out]``, and activate that.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        stack, _, inputs = self.weight.shape
        check_inputs(x, stack, inputs)
        parameters = self.weight, self.bias
        return products.affine(x, *parameters, self.update, activation, self.products_in_bfloat16)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization (Ioffe & Szegedy 2015) of each network by its own statistics.

    It is one of PyTorch's own kind, so that tools such as `torch.optim.swa_utils.update_bn` find
    it. States hold the number of batches where it is needed, for running means over all batches
    (`momentum` ``None``).

    Parameters
    ----------
    features
        Width.
    stack
        Number of networks.
    momentum
        Share of a batch's statistics in the running ones, at each step; ``None`` for the mean over
        all batches.
    affine
        Whether each unit has a scale and a shift that are trained.
    """

    # ``None`` after `torch.func.replace_all_batch_norm_modules_`.
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        features: int,
        stack: int = 1,
        momentum: float | None = 0.1,
        affine: bool = True,
    ):
        super().__init__(features, momentum=momentum, affine=affine)
        for name in ("weight", "bias") if affine else ():
            setattr(self, name, nn.Parameter(getattr(self, name).detach().repeat(stack, 1)))
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, getattr(self, name).repeat(stack, 1))
        batches = torch.zeros(stack, 1, dtype=torch.long)
        self.register_buffer("num_batches_tracked", batches, persistent=momentum is None)

    def _load_from_state_dict(self, *arguments) -> None:
        # PyTorch's own would add a number of batches to states that lack it.
        nn.Module._load_from_state_dict(self, *arguments)
        mean, batches = self.running_mean, self.num_batches_tracked
        if mean is not None and batches is not None and batches.is_meta:
            # Other buffers were assigned; this one is in no state.
            self.num_batches_tracked = torch.zeros_like(batches, device=mean.device)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[S, batch, features]`` over the batch."""
        stack, batch, features = x.shape
        flat = x.transpose(0, 1).reshape(batch, stack * features)
        mean, variance, weight, bias = (
            None if each is None else each.view(-1)
            for each in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1 / float(self.num_batches_tracked[0, 0])
        by_batch = self.training or mean is None
        flat = F.batch_norm(flat, mean, variance, weight, bias, by_batch, momentum, self.eps)
        return flat.view(batch, stack, features).transpose(0, 1)


class LayerNorm(nn.Module):
    """Layer normalization (Ba, Kiros & Hinton 2016): each example by its own units' statistics.

    Parameters
    ----------
    features
        Width.
    stack
        Number of networks.
    affine
        Whether each unit has a scale and a shift that are trained.
    """

    def __init__(self, features: int, stack: int = 1, affine: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(stack, features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(stack, features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[S, batch, features]`` over the features."""
        normal = F.layer_norm(x, x.shape[-1:])
        if self.weight is None or self.bias is None:
            return normal
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.weight.unsqueeze(1))


class Dropout(nn.Module):
    """Dropout with one mask for the whole stack.

    A network's mask then does not depend on which networks are beside it, and schemes are compared
    on common random numbers. `mask`, where it is set, serves until it is set again.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.mask: Tensor | None = None

    def draw(self, batch: int, features: int, like: Tensor) -> Tensor:
        """Draw a mask ``[batch, features]`` on the device and of the type of `like`."""
        return F.dropout(like.new_ones(batch, features), self.probability)

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of ``[..., batch, features]``; the identity in evaluation mode."""
        if not self.training or self.probability == 0:
            return x
        *_, batch, features = x.shape
        return x * (self.draw(batch, features, x) if self.mask is None else self.mask)
