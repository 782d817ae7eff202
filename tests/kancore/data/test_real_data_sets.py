"""The data sets from real files, where these lie beside the repository; skipped elsewhere."""

import sys

import pytest
import torch

from kancore.data import fashion_mnist, higgs, imdb, mnist
from kancore.data.download import DownloadError, fetch


@pytest.fixture(scope="module")
def mirror(shared, tmp_path_factory):
    """The real data in the layout of a mirror, MNIST and Fashion-MNIST whole."""
    sys.path.insert(0, str(shared))
    try:
        import make_mirror
    finally:
        sys.path.remove(str(shared))
    folder = tmp_path_factory.mktemp("mirror")
    make_mirror.mnist(folder, None)
    make_mirror.fashion_mnist(folder, None)
    make_mirror.imdb(folder, 1000)
    make_mirror.higgs(folder, None)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "mean", "std", "first"),
    [(mnist, 0.1307, 0.3081, 5923), (fashion_mnist, 0.2860, 0.3530, 6000)],
)
def test_real_images(mirror, tmp_path, module, mean, std, first):
    name = module.__name__.rsplit(".", 1)[1]
    fetch(name, tmp_path, mirror=str(mirror))
    dataset = module.prepare(tmp_path)
    assert dataset.x_train.shape == (60_000, 784)
    assert dataset.x_test.shape == (10_000, 784)
    assert dataset.mean[0].item() / 255 == pytest.approx(mean, abs=5e-5)
    assert dataset.std[0].item() / 255 == pytest.approx(std, abs=5e-5)
    assert torch.bincount(dataset.y_train)[0] == first
    assert "expected" not in dataset.source


@pytest.mark.slow
def test_real_reviews(mirror, tmp_path):
    with pytest.raises(DownloadError, match="expected 7c2ac02c"):
        fetch("imdb", tmp_path, mirror=str(mirror))
    fetch("imdb", tmp_path, mirror=str(mirror), verify=False)
    dataset = imdb.prepare(tmp_path)
    assert dataset.x_train.shape == dataset.x_test.shape == (1000, 5000)
    assert torch.bincount(dataset.y_train).tolist() == [500, 500]
    # Common words are in nearly all reviews; a review has some 120 different words of the 5,000.
    assert dataset.x_train.values().unique().tolist() == [1.0]
    assert 90 < dataset.x_train.values().numel() / 1000 < 140


def test_real_collisions(mirror, tmp_path):
    fetch("higgs", tmp_path, mirror=str(mirror), rows=18_000)
    dataset = higgs.prepare(tmp_path, train_rows=10_000, test_rows=8_000)
    assert dataset.x_train.shape == (10_000, 28)
    # Published: 53% signal.
    assert dataset.y_train.double().mean().item() == pytest.approx(0.53, abs=0.015)
