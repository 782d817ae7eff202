"""The lock file, the declared ranges and the conda environment say the same."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kancore.figures import FIGURES

ROOT = Path(__file__).resolve().parents[1]


def locked():
    """Versions of the lock file for this Python; a package may have one for each of several."""
    versions = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                (pinned,) = requirement.specifier
                versions[canonicalize_name(requirement.name)] = pinned.version
    return versions


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *chain(*project["optional-dependencies"].values())]


@pytest.mark.parametrize("text", declared())
def test_locked_versions_are_in_the_declared_ranges(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)])


def test_conda_environments_have_the_locked_versions():
    for file in (ROOT / "envs").glob("*.yaml"):
        *_, pip = yaml.safe_load(file.read_text())["dependencies"]
        pins = [Requirement(text) for text in pip["pip"]]
        assert pins
        for pin in pins:
            assert str(pin.specifier) == f"=={locked()[canonicalize_name(pin.name)]}"


def test_conda_environment_has_all_that_jobs_import():
    *_, pip = yaml.safe_load((ROOT / "envs" / "kancore.yaml").read_text())["dependencies"]
    pinned = {canonicalize_name(Requirement(text).name) for text in pip["pip"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["workflow"]]
    names = {canonicalize_name(Requirement(text).name) for text in needed}
    assert names - {"snakemake"} <= pinned


@pytest.mark.parametrize("file", sorted((ROOT / "rules").glob("*.smk")), ids=lambda f: f.name)
def test_every_rule_has_log_benchmark_environment_threads_and_resources(file):
    for block in re.split(r"^(?=rule |use rule )", file.read_text(), flags=re.MULTILINE)[1:]:
        inherited = {"conda:", "threads:", "resources:", "message:"}
        if block.startswith("rule ") and "shell:" not in block:
            continue  # a target
        needed = {"log:", "benchmark:", "params:", "code="}
        if block.startswith("rule "):
            needed |= inherited
        assert all(word in block for word in needed), block.splitlines()[0]


def test_profiles_name_rules_that_exist():
    """Snakemake ignores settings of unknown rules silently."""
    text = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:rule|use rule \w+ as) (\w+)", text, re.MULTILINE))
    for file in (ROOT / "profiles").glob("*/config*.yaml"):
        profile = yaml.safe_load(file.read_text())
        assert set(profile.get("set-resources", {})) <= rules


def test_small_steps_stay_on_the_login_node_of_a_cluster():
    """A figure takes seconds, a job of a cluster ten more; `use rule` does not hand this down."""
    text = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    blocks = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)
    local = set(re.findall(r"\w+", "".join(blocks)))
    assert {*FIGURES, "tables", "report", "fetch", "download"} <= local
    assert not {"train", "prepare"} & local
