"""The benchmark's parts: that what it compares is the same work, and that it counts rightly."""

from mmap import mmap
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml

from kancore.bench import __main__ as program
from kancore.bench import accuracy, hsic, kernels, measure, on_gpu, ours, peers
from kancore.bench.measure import growth, interleaved
from kancore.data import mnist_sample
from kancore.layers.splines import basis
from kancore.objectives.hsic_bottleneck import losses
from kancore.studies.config import resolve


@pytest.mark.parametrize("degree", range(1, 6))
def test_the_recursive_layers_basis_is_ours(degree):
    layer = peers.RecursiveLayer(4, 2, grid_size=6, degree=degree).double()
    x = torch.linspace(-1.9, 1.9, 40, dtype=torch.float64).view(10, 4)
    expected = basis(x, 6, degree).transpose(1, 2)
    torch.testing.assert_close(layer.basis(x), expected, rtol=0, atol=1e-6)


def test_medians_are_interleaved_and_of_the_right_size(monkeypatch):
    order = []
    clock = SimpleNamespace(now=0.0, process_time=lambda: clock.now, perf_counter=lambda: clock.now)
    monkeypatch.setattr(measure, "time", clock)

    def busy(name, seconds):
        def step():
            order.append(name)
            # Every seventh step is disturbed.
            clock.now += seconds * (1 if order.count(name) % 7 else 10)

        return step

    times = interleaved({"short": busy("short", 0.04), "long": busy("long", 0.08)}, seconds=2)
    assert times == pytest.approx({"short": 0.04, "long": 0.08})
    turns = "".join(name[0] for name in order[4:])  # after two trials of each
    assert "ls" in turns
    assert "sl" in turns


@pytest.mark.parametrize("term", ["n", "x"])
def test_losses_are_those_of_the_naive_form(term):
    """Which in float32 is itself wrong by 0.04 to 0.3%, as the processor's products have it."""
    (x, y), sweep = hsic.examples(512), hsic.sweep(512, term)
    exact = hsic.naive_losses(hsic.network().double(), x.double(), y, sweep).item()
    found = losses(hsic.network().double(), x.double(), y, sweep).item()
    assert found == pytest.approx(exact, rel=1e-8)
    assert losses(hsic.network(), x, y, sweep).item() == pytest.approx(exact, rel=1e-5)


def test_steps_by_both_forms_train():
    for objective in (losses, hsic.naive_losses):
        hsic.step_of(objective, 16, "x", "cpu")()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured on Linux alone")
def test_memory_growth_is_that_of_what_is_filled():
    # New memory of the system: the allocator would take what was freed before.
    with growth() as grown, mmap(-1, 100_000_000) as new:
        torch.frombuffer(new, dtype=torch.uint8).fill_(1)
    assert grown.bytes == pytest.approx(100e6, rel=0.1)


def test_sweeps_hold_27_schemes_of_all_optimizers():
    data = ours.inputs("words", 50, 2, 16)
    assert data.sparse
    training = ours.training("kan", [50, 4, 2], data, ours.ALL_SCHEMES)
    assert len(training.sweep.schemes) == 27
    before = [p.detach().clone() for p in training.state.network.parameters()]
    ours.step_of(training)()
    assert training.state.step == 1
    for old, new in zip(before, training.state.network.parameters(), strict=True):
        assert not torch.equal(old, new)


@pytest.mark.slow
def test_a_peer_trained_alike_is_as_accurate():
    """The layer as most code has it is ours, but for how it draws its coefficients."""
    setting = 32, "sgd_momentum", 0.05, 0
    images = mnist_sample.prepare()
    peer = accuracy.of_peer(images, peers.recursive, *setting)
    assert peer > 0.9
    assert accuracy.of_ours(images, 32, "rectifier", *setting[1:]) == pytest.approx(peer, abs=0.02)


def test_products_count_each_layer_once():
    assert ours.product_shapes([784, 32, 10]) == [(32, 784 * 9), (10, 32 * 9)]


def test_ratios_are_to_ours():
    rows = [{"network": name, "batch": 128, "ours": 0.5, "peer": 2.0} for name in program.MEAN_OF]
    table = program.with_ratios(pd.DataFrame(rows))
    assert table["peer / ours"].eq(4).all()
    assert table["ours, ms"].eq(500).all()
    assert program.mean_ratios(table)["peer / ours"].tolist() == pytest.approx([4])


def test_of_two_modes_the_better_is_a_column():
    rows = [{"network": "a", "batch": 1, "ours": 0.5, "inkan": 2.0, "inkan dense": 1.0}]
    table = program.with_ratios(pd.DataFrame(rows))
    assert table["inkan, better / ours"].tolist() == [2]


@pytest.mark.slow
def test_trained_networks_are_measured_on_images(monkeypatch):
    monkeypatch.setattr(program, "TRAINED", ("784-4-10",))
    monkeypatch.setattr(ours, "STEPS", 2)
    monkeypatch.setattr(peers, "BUILDERS", {"recursive": (None, peers.recursive)})
    (row,) = program.trained(64, 0.05, "cpu")
    assert 0 < int(row["outside the grid"].removesuffix("%")) < 100
    assert 0 < row["ours"] < row["recursive"]


def test_it_prints_and_writes_tables(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(program, "STEPS", ("6-4-3",))
    monkeypatch.setattr(program, "MEAN_OF", ("6-4-3",))
    monkeypatch.setattr(
        peers, "BUILDERS", {"recursive": (None, peers.recursive), "no": ("x_", None)}
    )
    out = tmp_path / "bench.md"
    program.main(batch=[16], seconds=0.1, tables=["steps"], out=out)
    text = out.read_text()
    assert "recursive / ours" in text
    assert "peers not installed: no" in text
    assert "6-4-3" in capsys.readouterr().out
    assert text.count("6-4-3") == 2  # the table, and the networks that means are over


@pytest.mark.slow
def test_kernels_are_measured_beside_what_they_replace(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, mode: function)
    monkeypatch.setattr(kernels, "NETWORKS", ((6, 4, 3),))
    monkeypatch.setattr(
        peers, "BUILDERS", {"inkan": (None, peers.recursive)} | {"pykan": ("no_such_package", None)}
    )
    table = pd.DataFrame(program.kernel_steps(16, 0.1, "cpu"))
    ways = ["kernels", "dense, eager", "kernels, CUDA graphs", "dense, torch.compile"]
    expected = [*ways, "inkan, 27 steps"]
    assert list(table["by"]) == 2 * expected
    assert list(table["precision"]) == 5 * ["ieee"] + 5 * ["tf32"]
    assert (table.loc[table["by"] == "kernels", "kernels are faster by"] == 1).all()
    assert (table[["ms", "GB/s", "TFLOP/s"]] > 0).all(axis=None)
    assert torch.get_float32_matmul_precision() == "highest"


def test_what_was_measured_stays_when_a_table_ends_in_an_error(tmp_path, capsys):
    def rows():
        yield {"network": "a", "ms": 1.5}
        assert "| a | 1.5 |" in out.read_text()
        raise RuntimeError("an illegal memory access")

    out = tmp_path / "bench.md"
    report = program.Report(out)
    report.add_table("First", rows())
    report.add_table("Second", iter([{"network": "b", "ms": 2.0}]))
    text = out.read_text()
    assert "| a | 1.5 |\n\nStopped by an error: RuntimeError: an illegal memory access" in text
    assert "| b | 2 |" in text
    assert report.failed
    assert text.strip() in capsys.readouterr().out


@pytest.mark.slow
def test_what_cannot_be_measured_is_told_and_others_follow(tmp_path, monkeypatch):
    def measured(sweep, *_):
        if sweep.name == "large":
            raise RuntimeError("CUDA error")
        return 1.0, 1.0, 1

    monkeypatch.setattr(on_gpu, "measured", measured)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    settings = yaml.safe_load(Path("config.yaml").read_text()) | {"study": "paper"}
    (first, size, names), *_ = on_gpu.distinct(resolve(settings))
    broken = SimpleNamespace(name="large")
    out = tmp_path / "bench.md"
    report = program.Report(out)
    works = first, size, names
    sweeps = works, (broken, size, ""), works
    table = report.add_table("Sweeps", on_gpu.study_rows(sweeps, "high", 0))
    assert len(table) == 2
    assert report.failed
    assert out.read_text().endswith("\n\nWithout large: RuntimeError: CUDA error\n")


def test_a_table_begins_no_row_after_its_time():
    rows = ({"network": name, "ms": 1.0} for name in "abc")
    table = program.Report(None).add_table("Slow", rows, most=0.0)
    assert list(table["network"]) == ["a"]


def test_a_batch_of_more_examples_than_there_are_begins_again():
    data = ours.inputs("normal", 6, 3, 8)
    training = ours.training("kan", [6, 4, 3], data, batch=12)
    x, y = ours.batch_of(training)
    assert len(x) == len(y) == 12
    assert torch.equal(x[8:], x[:4])
