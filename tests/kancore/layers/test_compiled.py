"""What all compiled kernels share: loading them, and updates in the backward pass."""

import forms
import pytest
import torch

from kancore.layers import compiled, local_support, products
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import Linear
from kancore.machine import cpp
from kancore.schemes import Scheme
from kancore.training.optimizers import StackedOptimizer


@pytest.mark.parametrize("module", [local_support, products])
@pytest.mark.parametrize("changed", ["compiled", "own"])
def test_a_library_of_another_source_is_refused(module, changed, monkeypatch, tmp_path):
    if module.LIBRARY is None:
        pytest.skip("no compiled kernels")
    name = module.__name__.rpartition(".")[2]
    built = module.LIBRARY._name
    (tmp_path / built.rpartition("/")[2]).symlink_to(built)
    for folder in ("compiled", name):
        (tmp_path / f"{folder}_cpp").mkdir()
        for file in compiled._HERE.joinpath(f"{folder}_cpp").iterdir():
            (tmp_path / f"{folder}_cpp" / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(compiled, "_HERE", tmp_path)
    module.load(module.FORM)
    folder = tmp_path / f"{'compiled' if changed == 'compiled' else name}_cpp"
    file = next(folder.iterdir())
    text = file.read_text()
    # As in a process of its own: a file is read once.
    for edited in (f"// a comment\n{text.replace('  ', '   ')}", f"{text}int another;\n"):
        cpp._content.cache_clear()
        file.write_text(edited)
        if edited.startswith("// a comment"):
            module.load(module.FORM)
    with pytest.raises(OSError, match="another version"):
        module.load(module.FORM)


def test_without_kernels_one_word_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "_HERE", tmp_path)
    assert compiled.widest(products.load) == (None, "none (not compiled at installation)")


@pytest.mark.parametrize("form", ["avx512", "avx2", "generic"])
@pytest.mark.parametrize(("module", "kind"), [(local_support, KALayer), (products, Linear)])
def test_fused_updates_refuse_what_they_cannot_do(module, kind, form, monkeypatch):
    monkeypatch.setattr(module, "LIBRARY", forms.library(module, form))
    layer = kind(3, 4, stack=2)
    for index in range(2):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    schemes = [Scheme("adam", 0.01, name) for name in ("kaiming_normal", "orthogonal")]
    StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
    x = torch.randn(5, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="no derivative"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    y = layer(x)
    y.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()  # the weights are not those of the forward pass any more
    for parameter in layer.parameters():
        parameter.data = parameter.data[:1]
    with pytest.raises(ValueError, match="updates of 2 networks"):
        layer(x)
