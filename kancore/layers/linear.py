"""What every network is made of: stacked products, linear layers, normalization, dropout."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from kancore.initialization import fill
from kancore.layers.shapes import check_inputs

# Measured on Zen 4: outputs of one network from which, and examples up to which, `_apart` pays.
_WIDE, _SMALL_BATCH = 128, 1024


class _Product(torch.autograd.Function):
    """`stacked_product` with weight gradients laid out as the weights are.

    Autograd's own gradient of a batched product is transposed, which costs the optimizer a copy.
    """

    @staticmethod
    def forward(ctx, features, weight, bias):
        ctx.biased, ctx.shared = bias is not None, features.dim() == 2
        if _apart(features, weight):
            features = features.expand(len(weight), -1, -1)
        ctx.save_for_backward(features, weight)
        if features.dim() == 3:
            if bias is None:
                return torch.bmm(features, weight.transpose(1, 2))
            return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))
        stack, outputs, inputs = weight.shape
        flat = weight.view(stack * outputs, inputs).t()
        if bias is None:
            product = torch.mm(features, flat)
        else:
            product = torch.addmm(bias.view(-1), features, flat)
        return product.view(-1, stack, outputs).transpose(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        features, weight = ctx.saved_tensors
        stack, outputs, inputs = weight.shape
        to_features = None
        to_bias = gradient.sum(1) if ctx.biased else None
        if features.dim() == 3:
            if ctx.needs_input_grad[0]:
                to_features = torch.bmm(gradient, weight)
                if ctx.shared:
                    to_features = to_features.sum(0)
            return to_features, torch.bmm(gradient.transpose(1, 2), features), to_bias
        flat = gradient.transpose(0, 1).reshape(-1, stack * outputs)
        if ctx.needs_input_grad[0]:
            to_features = torch.mm(flat, weight.view(stack * outputs, inputs))
        return to_features, torch.mm(flat.t(), features).view_as(weight), to_bias


def _apart(features: Tensor, weight: Tensor) -> bool:
    """Whether networks multiply shared features one after the other, with the same result.

    One product for the whole stack gives outputs that lie apart in memory, where what follows is
    slower. On a CPU it is worth that for narrow layers and large batches alone.
    """
    shared = features.dim() == 2 and features.device.type == "cpu"
    return shared and weight.shape[1] >= _WIDE and len(features) <= _SMALL_BATCH


def stacked_product(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply features with the transposed weights of each network.

    Parameters
    ----------
    features
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``, one for each.
    weight
        ``[S, out, in]``, contiguous.
    bias
        ``[S, out]``, added to the outputs.

    Returns
    -------
    Tensor
        ``[S, batch, out]``.
    """
    return _Product.apply(features, weight, bias)


class Linear(nn.Module):
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
        As for `kancore.initialization.fill`.
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
        self.uniform_bias, self.gain = uniform_bias, gain
        self.weight = nn.Parameter(torch.empty(stack, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(stack, outputs))

    @torch.no_grad()
    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw the weights and the biases of network `index`."""
        weight, bias = torch.empty(self.weight.shape[1:]), torch.zeros(self.bias.shape[1:])
        self.weight[index] = fill(weight, initialization, generator, self.gain).to(self.weight)
        if self.uniform_bias:
            bound = self.weight.shape[2] ** -0.5
            bias.uniform_(-bound, bound, generator=generator)
        self.bias[index] = bias.to(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in]`` or ``[S, batch, in]`` to ``[S, batch, out]``.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        stack, _, inputs = self.weight.shape
        check_inputs(x, stack, inputs)
        return stacked_product(x, self.weight, self.bias)


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe & Szegedy 2015) of each network by its own statistics.

    Parameters
    ----------
    features
        Width.
    stack
        Number of networks.
    momentum
        Share of a batch's statistics in the running ones, at each step.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, stack: int = 1, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(stack, features))
        self.bias = nn.Parameter(torch.zeros(stack, features))
        self.register_buffer("running_mean", torch.zeros(stack, features))
        self.register_buffer("running_var", torch.ones(stack, features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[S, batch, features]`` over the batch."""
        stack, batch, features = x.shape
        flat = x.transpose(0, 1).reshape(batch, stack * features)
        statistics = self.running_mean.view(-1), self.running_var.view(-1)
        affine = self.weight.view(-1), self.bias.view(-1)
        flat = F.batch_norm(flat, *statistics, *affine, self.training, self.momentum)
        return flat.view(batch, stack, features).transpose(0, 1)


class LayerNorm(nn.Module):
    """Layer normalization (Ba, Kiros & Hinton 2016): each example by its own units' statistics.

    Parameters
    ----------
    features
        Width.
    stack
        Number of networks.
    """

    def __init__(self, features: int, stack: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(stack, features))
        self.bias = nn.Parameter(torch.zeros(stack, features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[S, batch, features]`` over the features."""
        normal = F.layer_norm(x, x.shape[-1:])
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
