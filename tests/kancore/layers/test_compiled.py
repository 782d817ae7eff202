"""Loading compiled kernels."""

import pytest

from kancore.layers import compiled, local_support, products


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
    folder = "compiled" if changed == "compiled" else name
    (tmp_path / f"{folder}_cpp" / "more.h").write_text("// another version")
    with pytest.raises(OSError, match="another version"):
        module.load(module.FORM)


def test_without_kernels_one_word_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "_HERE", tmp_path)
    assert compiled.widest(products.load) == (None, "none (not compiled at installation)")
