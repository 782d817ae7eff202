"""Train grids of Kolmogorov-Arnold networks and multilayer perceptrons as one stacked program.

Submodules are imported on first use only: planning a study or drawing a figure never pays for
PyTorch, and the code that a job reaches can be told from its imports.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "KAN": "networks.kan",
    "MLP": "networks.mlp",
    "WideMLP": "networks.mlp",
    "load": "trained",
    "results": "notebook",
}
__all__ = ["KAN", "MLP", "WideMLP", "load", "results"]


def __getattr__(name: str):
    if name in _EXPORTS:
        import_module(f"{__name__}.layers.flops")
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
