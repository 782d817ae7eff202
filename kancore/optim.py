"""Optimizers for networks of your own training loop, which update weights in the backward pass.

Gradients of layers that have kernels are never written to memory: weights are updated where their
gradient is computed, which makes steps faster. The steps are those of `torch.optim`, with its
options and states; see docs/library.md for what they cost and what is different.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kancore.layers.compiled import Fused, KernelLayer


@dataclass(frozen=True, eq=False)
class _Following(Fused):
    """Updates of one layer by the options that its group of parameters has at the time."""

    optimizer: "_InBackward"
    group: dict
    begun: list[bool] = field(default_factory=lambda: [False])

    def begin(self):
        if self.begun[0]:
            raise RuntimeError(
                "a layer's weights were updated already in this step; expected step() after each "
                "backward pass, and each layer once in it"
            )
        for update in self.updates:
            for name, value in self.optimizer._options(self.group).items():
                setattr(update, name, value)
        self.begun[0] = True
        return super().begin()


class _InBackward(torch.optim.Optimizer):
    """What optimizers share whose updates are in the backward pass."""

    # For `torch.amp.GradScaler`: `step` gets the scale, and refuses it.
    _step_supports_amp_scaling = True
    # A copy of an optimizer knows no network; neither have layers that are copied updates.
    _network: nn.Module | None = None
    _layers: Sequence[tuple[KernelLayer, _Following]] = ()

    def __init__(self, network: nn.Module, defaults: dict):
        if not isinstance(network, nn.Module):
            raise TypeError(f"{type(network).__name__} given, expected the network as a module")
        super().__init__([p for p in network.parameters() if p.requires_grad], defaults)
        self._network = network
        self._fuse()

    def _kind(self) -> tuple[str, tuple[str, ...]]:
        """Name that kernels know, and buffers in their order, by their names in `torch.optim`."""
        raise NotImplementedError

    def _options(self, group: dict) -> dict[str, float]:
        """Options of an update as kernels know them."""
        raise NotImplementedError

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        """Update parameters that have gradients."""
        raise NotImplementedError

    def _fuse(self) -> None:
        """Let layers that have kernels for it update their weights, by the states as they are."""
        self.release()
        modules = [] if self._network is None else list(self._network.modules())
        owners: dict[Tensor, int] = {}
        for module in modules:
            for parameter in module.parameters(recurse=False):
                owners[parameter] = owners.get(parameter, 0) + 1
        for group in self.param_groups:
            if group.get("amsgrad") or group.get("maximize") or group.get("dampening"):
                raise ValueError("amsgrad, maximize or dampening is set, expected none of them")
            members = {p for p in group["params"] if owners.get(p) == 1}
            for parameter in group["params"]:
                state = self.state[parameter]
                steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state.setdefault("step", steps)
                for name in self._kind()[1]:
                    if state.get(name) is None:
                        state[name] = torch.zeros_like(parameter)
            for layer in modules:
                if isinstance(layer, KernelLayer) and members.issuperset(layer.parameters()):
                    self._fuse_layer(layer, group)

    def _fuse_layer(self, layer: KernelLayer, group: dict) -> None:
        states = [self.state[parameter] for parameter in layer.parameters()]
        # All have the same: they are updated together. Kernels know the number of the next step.
        steps = states[0]["step"].detach().clone() + 1
        if any(state["step"] != states[0]["step"] for state in states):
            return
        stack = len(next(layer.parameters()))
        kind, buffers = self._kind()
        updates = []
        for index in range(stack):
            own = [[state[name][index] for state in states] for name in buffers]
            first, second, *_ = [*own, None, None]
            options = {"momentum": 0.0, "second_momentum": 0.0, "epsilon": 0.0}
            options |= self._options(group)
            updates.append({"optimizer": kind, **options, "first": first, "second": second})
        if (fused := layer.fuse(updates, steps)) is not None:
            following = _Following(
                *(fused.updates, steps, fused.described, fused.storages, self, group)
            )
            layer.update = following
            self._layers = [*self._layers, (layer, following)]

    def release(self) -> None:
        """Give layers gradients again, in place of updates; `step` then updates all weights."""
        for layer, following in self._layers:
            if layer.update is following:
                layer.update = None
        self._layers = ()

    def add_param_group(self, param_group: dict) -> None:
        """Update further parameters, by options of their own."""
        super().add_param_group(param_group)
        if self._network is not None:
            self._fuse()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """End a step: update the weights that have gradients, and count.

        Raises
        ------
        RuntimeError
            If there is a closure, or gradients are scaled: weights are updated in the backward
            pass.
        """
        if closure is not None:
            raise RuntimeError(
                "closures compute gradients several times a step, and here weights are updated in "
                "the backward pass; expected step() without one, after it"
            )
        if getattr(self, "grad_scale", None) is not None:
            raise RuntimeError(
                "weights were updated in the backward pass by gradients that torch.amp.GradScaler "
                "had scaled; expected none with this optimizer"
            )
        for layer, following in self._layers:
            if following.begun[0]:
                following.begun[0] = False
                following.steps.add_(1)
                for parameter in layer.parameters():
                    self.state[parameter]["step"] += 1
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            for parameter in given:
                self.state[parameter]["step"] += 1
            if given:
                self._update(given, [p.grad.contiguous() for p in given], group)

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state, of this optimizer or of that of `torch.optim` that it stands for."""
        super().load_state_dict(state_dict)
        self._fuse()


class AdamW(_InBackward):
    """`torch.optim.AdamW` (Loshchilov & Hutter 2019) with updates in the backward pass.

    Each backward pass through the network is a step, until `release`: call `step` after it, and
    compute gradients for other purposes before the optimizer is made or after it is released.
    Gradients cannot be clipped, scaled or accumulated, as there are none.

    Parameters
    ----------
    network
        Of kancore's layers, and others, which are updated by `step`.
    lr, betas, eps, weight_decay
        As in `torch.optim.AdamW`. They may change between steps, as schedulers change them.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        defaults: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        torch.optim.AdamW([torch.empty(0)], **defaults)  # raises where one is wrong
        super().__init__(network, defaults)

    def _kind(self) -> tuple[str, tuple[str, ...]]:
        return "adam", ("exp_avg", "exp_avg_sq")

    def _options(self, group: dict) -> dict[str, float]:
        momentum, second_momentum = group["betas"]
        return {
            "rate": float(group["lr"]),
            "momentum": momentum,
            "second_momentum": second_momentum,
            "epsilon": group["eps"],
            "decay": group["weight_decay"],
        }

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        states = [self.state[parameter] for parameter in parameters]
        torch._fused_adamw_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            lr=float(group["lr"]),
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class SGD(_InBackward):
    """`torch.optim.SGD` with updates in the backward pass; see `AdamW` for what that means.

    Parameters
    ----------
    network
        Of kancore's layers, and others, which are updated by `step`.
    lr, momentum, weight_decay
        As in `torch.optim.SGD`; momentum is Nesterov's. They may change between steps.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ):
        defaults: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        defaults |= {"nesterov": momentum != 0, "dampening": 0}
        torch.optim.SGD([torch.empty(0)], **defaults)  # raises where one is wrong
        super().__init__(network, defaults)

    def _kind(self) -> tuple[str, tuple[str, ...]]:
        return ("sgd_momentum", ("momentum_buffer",)) if self.defaults["momentum"] else ("sgd", ())

    def _options(self, group: dict) -> dict[str, float]:
        return {
            "rate": float(group["lr"]),
            "momentum": group["momentum"],
            "decay": group["weight_decay"],
        }

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        buffers = [[self.state[p][name] for p in parameters] for name in self._kind()[1]]
        torch._fused_sgd_(
            parameters,
            gradients,
            *(buffers or [[]]),
            lr=float(group["lr"]),
            momentum=group["momentum"],
            nesterov=group["nesterov"],
            weight_decay=group["weight_decay"],
            dampening=0.0,
            maximize=False,
            is_first_step=False,  # buffers begin as zeros
        )
