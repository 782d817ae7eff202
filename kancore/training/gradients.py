"""Losses of a stack and their gradients: of all networks at once, or of as many as fit a cache."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kancore.networks.network import Network
from kancore.schemes import Trained
from kancore.training.state import State


def losses_and_gradients(
    losses: Callable[..., Tensor], state: State, x: Tensor, y: Tensor, sweep: Trained
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """Compute the losses ``[S]`` of a stack on a batch, and their gradients by its parameters.

    Parameters
    ----------
    losses
        Those of an objective, as `kancore.objectives` says.
    state, x, y, sweep
        The stack, inputs ``[batch, in]`` and labels ``[batch]``, and what is trained.

    Returns
    -------
    losses : Tensor
    gradients : sequence
        One a parameter: ``[S, ...]``, or ``None`` for those of fused layers, which update their
        weights in the backward pass.
    """
    if len(state.chunks) == 1:
        return _at_once(losses, state.network, x, y, sweep)
    stack = state.network
    assert isinstance(stack, Network)  # no others are divided
    dropout, width = stack.dropout, sweep.architecture.hidden_widths[-1]
    dropout.mask = dropout.draw(len(x), width, x) if dropout.probability else None
    values = torch.empty_like(state.loss)
    gradients: list[Tensor | None] = [None for _ in stack.parameters()]
    start = 0
    for chunk in state.chunks:
        its_values, its_gradients = _at_once(losses, chunk, x, y, sweep)
        members = slice(start, start := start + len(its_values))
        values[members] = its_values
        for place, (parameter, gradient) in enumerate(
            zip(stack.parameters(), its_gradients, strict=True)
        ):
            # Copied at once: what a chunk leaves behind in memory keeps the next from its place.
            if gradient is not None:
                whole = gradients[place]
                if whole is None:
                    whole = gradients[place] = torch.empty_like(parameter)
                whole[members] = gradient
    dropout.mask = None
    return values, gradients


def _at_once(
    losses: Callable[..., Tensor], network: nn.Module, x: Tensor, y: Tensor, sweep: Trained
) -> tuple[Tensor, Sequence[Tensor | None]]:
    values = losses(network, x, y, sweep)
    gradients = torch.autograd.grad(values.sum(), list(network.parameters()), allow_unused=True)
    return values.detach(), gradients
