"""What a study will take, before it runs."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kancore.machine import memory
from kancore.machine.provenance import ROOT
from kancore.plan import configured, kept_bytes, own_sizes, parts, rate
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import jobs
from kancore.training import resources

SMALL = (
    *("study=quick", "datasets=[digits]", "models=[kan]", "depths=[2layers]", "seeds=[0,1]"),
    *("objectives=[backprop]", "follow_ups={experiments: []}", "stability={train: []}"),
)


def test_a_part_has_the_jobs_of_its_experiment_their_networks_and_their_memory():
    study = resolve(configured([], SMALL))
    planned = jobs(study)
    found = parts(study, planned, "cpu")
    (grid,) = found.values()
    assert (grid.jobs, grid.networks) == (2, 54)
    sweep = study.sweeps()[0]
    size = resources.shape("digits", study.settings["data"])
    assert grid.memory_mb == resources.memory_mb(sweep, size)
    assert grid.in_parts == grid.too_large == []
    # Two best networks of 64 and 10 by 32 edges of 10 numbers, and the best of both.
    assert kept_bytes(study, planned) == 3 * 4 * 10 * 32 * (64 + 10)
    everything = resolve(configured([], [*SMALL, "keep=all"]))
    assert kept_bytes(everything, planned) == 2 * 54 * 4 * 10 * 32 * (64 + 10)


def test_own_data_are_read_for_their_size(tmp_path):
    rows = np.random.default_rng(0).normal(size=(100, 3))
    table = pd.DataFrame(rows, columns=list("abc")).assign(label=["x", "y"] * 50)
    table.to_csv(tmp_path / "t.csv", index=False)
    own = f"data={{own: {{t: {tmp_path / 't.csv'}}}}}"
    study = resolve(configured([], [*SMALL, "datasets=[t]", own]))
    assert own_sizes(study) == {"t": resources.Shape(3, 2, 80, 20)}
    assert kept_bytes(study, jobs(study)) == 3 * 4 * 10 * 32 * (3 + 2)
    (tmp_path / "t.csv").write_text("a;b\n1;2\n")
    with pytest.raises(ConfigError, match=r"data\.own\.u: .*t\.csv: lacks the column label"):
        own_sizes(resolve(configured([], [*SMALL, "datasets=[u]", own.replace("{t:", "{u:")])))


def test_what_memory_has_no_room_for_is_told(monkeypatch):
    study = resolve(configured([], [*SMALL, "hidden_widths={default: {2layers: [4096]}}"]))
    sweep, size = study.sweeps()[0], resources.shape("digits", study.settings["data"])
    one, all_of_them = (
        resources.memory_mb(sweep, size, schemes) for schemes in (sweep.schemes[:1], None)
    )
    monkeypatch.setattr("kancore.plan.rate", lambda *_: 1e9)
    for there, in_parts, too_large in ((all_of_them, 0, 0), (one, 2, 0), (one - 1, 0, 2)):
        monkeypatch.setattr(memory, "usable_mb", lambda there=there: there)
        (grid,) = parts(study, jobs(study), "cpu").values()
        assert (len(grid.in_parts), len(grid.too_large)) == (in_parts, too_large)


def test_the_rate_is_that_of_steps_whatever_the_schemes_and_epochs():
    study = resolve(configured([], SMALL))
    sweep, size = study.sweeps()[0], resources.shape("digits", study.settings["data"])
    found = rate(replace(sweep, epochs=10**6), size, "cpu")
    assert 1e7 < found < 1e13


def test_small_networks_go_by_the_rate_of_small_ones(monkeypatch):
    depths = "depths=[2layers, 3layers, 4layers]", "depths_in_turn=false"
    widths = "hidden_widths={default: {2layers: [8], 3layers: [64, 64], 4layers: [512, 512, 512]}}"
    study = resolve(configured([], [*SMALL, *depths, widths, "seeds=[0]"]))
    rates = {(8,): 1e8, (64, 64): 1e10}  # the smallest and the middle one, which alone are timed
    monkeypatch.setattr(
        "kancore.plan.rate", lambda each, *_: rates[each.architecture.hidden_widths]
    )
    size = resources.shape("digits", study.settings["data"])
    small, middle, large = (resources.work(sweep, size) for sweep in study.sweeps())
    (grid,) = parts(study, jobs(study), "cpu").values()
    assert grid.seconds == pytest.approx(3 * 3 + small / 1e8 + (middle + large) / 1e10)


def test_changes_are_read_as_after_config_and_files_lie_over_the_project_s(tmp_path):
    (tmp_path / "mine.yaml").write_text("study: mine\nstudies: {mine: {seeds: [7]}}\n")
    config = configured([tmp_path / "mine.yaml"], ["epochs=3", "data={verify: false}"])
    study = resolve(config)
    assert (study.name, study.settings["seeds"], study.settings["epochs"]) == ("mine", [7], 3)
    assert study.settings["data"]["verify"] is False
    with pytest.raises(ConfigError, match="expected KEY=VALUE, such as study=paper"):
        configured([], ["study"])
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        configured([tmp_path / "nowhere.yaml"], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {mirror: 'https://me:s3cret@h/m'\nb: [", "in line 2"),
        ("[1, 2]", "holds list, expected keys"),
        ("a: !!python/object/apply:os.system ['true']", "in line 1"),
        ("a: \x07", "not YAML"),
        (b"\xff\xfe", "can't decode"),
    ],
)
def test_what_is_no_configuration_is_one_sentence_without_what_it_holds(text, words, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=rf"^config: .*mine\.yaml.*{words}") as error:
        configured([file], [])
    assert str(error.value).isprintable()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "change", ["data={", "data={mirror: 'https://me:s3cret@h", "https://me:s3@h"]
)
def test_a_change_that_is_none_is_one_sentence(change):
    with pytest.raises(ConfigError) as error:
        configured([], [change])
    assert str(error.value).isprintable()
    assert "s3" not in str(error.value)


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    assert configured([tmp_path / "mine.yaml"], []) == configured([], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_widths": {"default": {"2layers": [10**9]}}},
        {"outputs": 10**9},
        {
            "models": ["kan"],
            "grid_sizes": [1000],
            "hidden_widths": {"default": {"2layers": [10**6]}},
        },
        {"datasets": ["imdb"], "data": {"imdb": {"words": 10**9}}},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_the_rate_of_networks_that_memory_has_no_room_for_is_that_of_narrower_ones(changes):
    given = {"study": "quick", "models": ["mlp"], "depths": ["2layers"], **changes}
    study = resolve(configured([], []) | given)
    sweep = next(iter(jobs(study).values())).sweeps[0]
    found = rate(sweep, resources.shape(sweep.dataset, study.settings["data"]), "cpu")
    assert 1e6 < found < 1e13


@pytest.mark.slow
def test_command(tmp_path):
    command = [sys.executable, "-m", "kancore.plan", "--config", *SMALL, "--cores", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, *table = done.stdout.splitlines()
    # Changes may follow --configfile, as they do after --config.
    (tmp_path / "mine.yaml").write_text("study: quick")
    mixed = [*command[:3], "--configfile", tmp_path / "mine.yaml", *SMALL]
    again = subprocess.run(mixed, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("quick: 2 training jobs, 54 networks\n")
    assert first == "quick: 2 training jobs, 54 networks"
    assert table[0].split()[:2] == ["jobs", "networks"]
    assert re.search(
        r"in all (\d+ \w+ ?)+ of a core, so (\d+ \w+ ?)+ on 4, beside landscapes", done.stdout
    )
    wrong = subprocess.run([*command[:3], "study=fast"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.stderr.startswith("config: study is 'fast'; expected one of quick")
