"""Packages hold what they need, and install with a compiler and without one."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = {
    "kancore/py.typed",
    "kancore/layers/compiled_cpp/vectors.h",
    "kancore/layers/local_support_cpp/library.cpp",
    "kancore/layers/products_cpp/passes.h",
}
# The packages of this environment, and its PyTorch, without what is installed there of kancore.
CHECK = """
import sys
sys.path.append(sys.argv[1])
import torch, kancore, pathlib
from kancore.layers import local_support, products
assert pathlib.Path(kancore.__file__).is_relative_to(sys.prefix), kancore.__file__
x = torch.randn(6, 4)
for model in (kancore.KAN, kancore.MLP):
    network = model([4, 8, 3])
    network(x).sum().backward()
    exact = network.double()(x.double())
    torch.testing.assert_close(network.float()(x).double(), exact, rtol=1e-4, atol=1e-5)
print("kernels:", local_support.FORM, "|", products.FORM)
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder, kind):
    """Build a package of the files that are under version control, or would be."""
    source = folder / "source"
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file() and name.startswith(
            ("kancore/", "setup.py", "pyproject", "READ", "LIC")
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    # What makes kernels fast is the slowest part of a build, and one form of each is enough here.
    setup = source / "setup.py"
    text = setup.read_text()
    for slow, fast in (('"-O3"', '"-O0"'), ('in ("x86_64", "amd64")', "in ()")):
        assert slow in text
        text = text.replace(slow, fast)
    setup.write_text(text)
    code = f"from setuptools import build_meta as b; print(b.build_{kind}({str(folder)!r}))"
    return folder / run(sys.executable, "-c", code, cwd=source).splitlines()[-1]


def wheel_of(source, folder):
    """Build a wheel of a source package, as an installation of the package does."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", *options, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(package, folder):
    """Install into an empty environment, and compute there; gives which kernels it has."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    here = Path(pytest.__file__).parents[1]
    target = next((folder / "lib").glob("python*/site-packages"))
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", target]
    run(sys.executable, "-m", "pip", "install", *options, package)
    return run(python, "-W", "ignore", "-P", "-c", CHECK, here, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", [True, False])
def test_wheels_and_source_packages_install(tmp_path, monkeypatch, compiler):
    """With a compiler the wheel is that of the source package, so that both compile once."""
    if not compiler:
        for name in ("CC", "CXX"):
            monkeypatch.setenv(name, "false")
    source = build(tmp_path / "sdist", "sdist")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert names >= NEEDED | {"setup.py", "pyproject.toml", "LICENSE"}
    wheel = wheel_of(source, tmp_path) if compiler else build(tmp_path / "wheel", "wheel")
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) >= NEEDED
    for package in (wheel,) if compiler else (wheel, source):
        found = install(package, tmp_path / f"env-{package.suffix[1:]}")
        assert ("none (not compiled" in found) != compiler
