"""From raw files in a mirror folder, and from a user's own file, to a trained table."""

import gzip
import json
import os
import struct

import numpy as np
import pytest
import yaml

from kancore.data.dataset import load
from kancore.data.known import prepared_name


def write_idx(path, array):
    """Write an array of bytes in MNIST's format, compressed."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def mirror(tmp_path):
    """A mirror that holds 40 + 20 images under MNIST's usual names."""
    folder = tmp_path / "mirror" / "mnist"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for stem, examples in (("train", 40), ("t10k", 20)):
        images = generator.integers(0, 256, (examples, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
        labels = np.arange(examples, dtype=np.uint8) % 10
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels)
    return folder.parent


def settings(mirror, **data):
    return ["--config", "datasets=[mnist]", f"data={json.dumps({'mirror': str(mirror), **data})}"]


def test_download_fetches_all_files_and_nothing_else(project, mirror):
    config = settings(mirror, verify=False)
    assert project.plan("download", *config) == {"fetch": 4, "download": 1}
    project.snakemake("--cores", "1", "download", *config)
    copies = [*(project.path / "results" / "raw" / "mnist").iterdir()]
    assert len(copies) == 4
    for copy in copies:
        assert copy.read_bytes() == (mirror / "mnist" / copy.name).read_bytes()
    assert not (project.path / "results" / "data" / "mnist.safetensors").exists()
    target = "results/data/mnist.safetensors"
    project.snakemake("--cores", "1", target, *config)
    dataset = load(project.path / target)
    assert dataset.image_shape == (1, 28, 28)
    assert len(dataset.y_train) == 40
    # Where the files came from does not matter once they are there.
    assert project.plan(target, *settings("/elsewhere", verify=False)) == {}
    # Nor what downloads them: its edits are no reason to do it again.
    project.append("workflow_scripts/fetch.py")
    project.append("kancore/data/download.py")
    assert project.plan("download", *config) == {}


def test_wrong_checksums_are_told_and_leave_nothing(project, mirror):
    output = project.snakemake("--cores", "1", "download", *settings(mirror), check=False)
    assert "md5" in output
    assert ".../train-images-idx3-ubyte.gz: md5" in output
    assert "Traceback" not in output
    assert not [*(project.path / "results" / "raw" / "mnist").glob("*")]


def test_a_damaged_raw_file_is_downloaded_again_once_it_is_removed(project, mirror):
    target, config = "results/data/mnist.safetensors", settings(mirror, verify=False)
    project.snakemake("--cores", "1", "download", *config)
    raw = project.path / "results" / "raw" / "mnist" / "train-images-idx3-ubyte.gz"
    raw.write_bytes(raw.read_bytes()[:500])
    output = project.snakemake("--cores", "1", target, *config, check=False)
    assert "train-images-idx3-ubyte.gz: not a whole gzip file" in output
    assert "; remove it, and call snakemake again to download it\n" in output
    # One that somebody put there is checked too.
    output = project.snakemake("--cores", "1", target, *settings(mirror), check=False)
    assert "train-images-idx3-ubyte.gz: md5 " in output
    assert "; remove it, and call snakemake again to download it\n" in output
    raw.unlink()
    assert project.plan(target, *config) == {"fetch": 1, "prepare": 1}
    project.snakemake("--cores", "1", target, *config)
    assert len(load(project.path / target).y_train) == 40


def test_secrets_of_a_mirror_reach_no_command_and_no_log(project):
    # Snakemake logs its own command line, so the address comes from a file.
    address = "http://me:s3cret@127.0.0.1:9/m?token=s3cret"
    text = f"datasets: [mnist]\ndata: {{mirror: '{address}'}}\n"
    project.append("tiny.yaml", text)
    project.append("kancore/data/transport.py", "_PAUSE = 0.01")
    commands = project.snakemake("--cores", "1", "--dry-run", "--printshellcmds")
    output = project.snakemake("--cores", "1", "download", check=False)
    assert "fetch.py" in commands
    assert "http://127.0.0.1:9/m/mnist/train-images-idx3-ubyte.gz: Connection refused" in output
    logs = [
        *(project.path / "results" / "raw").rglob("*.log"),
        *project.path.glob(".snakemake/log/*"),
    ]
    for found in (commands, output, *(log.read_text() for log in logs)):
        assert "s3cret" not in found


def test_options_of_a_data_set_prepare_it_again(project):
    defaults = yaml.safe_load((project.path / "config.yaml").read_text())["defaults"]["data"]
    fewer = {**defaults, "higgs": {**defaults["higgs"], "train_rows": 5}}
    # Each has a file of its own, so that studies do not make one another's again.
    assert prepared_name("higgs", fewer) != prepared_name("higgs", defaults)
    target = f"results/data/{prepared_name('cifar10', defaults)}.safetensors"
    config = ["--config", "datasets=[cifar10]"]
    assert project.plan(target, *config) == {"fetch": 1, "prepare": 1}
    rows = project.snakemake(
        "--cores", "1", "--dry-run", "--printshellcmds",
        f"results/data/{prepared_name('higgs', fewer)}.safetensors",
        "--config", "datasets=[higgs]", 'data={"higgs": {"train_rows": 5}}',
    )  # fmt: skip
    assert "--rows 50005" in rows
    assert '"train_rows": 5' in rows


def test_an_own_file_that_an_older_one_replaces_is_prepared_again(project):
    x, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    path = project.path / "my {1} it's.npz"  # no wildcards to Snakemake, no word to a shell
    np.savez(path, **arrays)
    own = {"own": {"mine": path.name}}
    target = f"results/data/{prepared_name('mine', own)}.json"
    config = ["--config", "datasets=[mine]", f"data={json.dumps(own)}"]
    project.snakemake("--cores", "1", target, *config)
    path.touch()
    assert project.plan(target, *config) == {}
    np.savez(path, **{**arrays, "x_train": 2 * x})
    os.utime(path, (0, 0))
    assert project.plan(target, *config) == {"prepare": 1}


def test_more_examples_than_there_are_is_told(project):
    target = "results/tiny/jobs/grid/digits/backprop/mlp-32-gelu/0.005/seed0/history.parquet"
    config = ["--config", "train_examples=9999"]
    output = project.snakemake("--cores", "1", target, *config, check=False)
    assert "digits: cannot draw 9999 examples of 1438" in output
    assert "Traceback" not in output


def test_a_damaged_file_of_ones_own_is_told(project):
    (project.path / "mine.npz").write_bytes(b"not an archive")
    own = 'data={"own": {"mine": "mine.npz"}}'
    output = project.snakemake(
        "--cores", "1", "--config", "datasets=[mine]", own, check=False
    )  # fmt: skip
    assert "mine.npz" in output
    assert "Traceback" not in output
