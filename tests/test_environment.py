"""The lock file, the declared ranges and the conda environment say the same."""

import json
import platform
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

# Of the Python that runs.
PYTHON = platform.python_version()


def locked(python=PYTHON):
    """Versions of the lock file for a Python; a package may have one for each of several."""
    version = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    versions = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix(" \\"))
            if requirement.marker is None or requirement.marker.evaluate(version):
                (pinned,) = requirement.specifier
                versions[canonicalize_name(requirement.name)] = pinned.version
    return versions


def test_every_locked_package_has_hashes_by_which_it_is_installed():
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 100
    assert all("==" in line and "--hash=sha256:" in line for line in lines)
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
    # Nothing is fetched beside it to build the package.
    for file in ("Makefile", "Dockerfile"):
        assert "--no-build-isolation --no-deps --editable ." in (ROOT / file).read_text()


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *chain(*project["optional-dependencies"].values())]


@pytest.mark.parametrize("text", declared())
def test_locked_versions_are_in_the_declared_ranges(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)])


def test_conda_environments_have_the_locked_versions():
    for file in (ROOT / "envs").glob("*.yaml"):
        python, *_, pip = yaml.safe_load(file.read_text())["dependencies"]
        versions = locked(f"{python.removeprefix('python=')}.0")
        pins = [Requirement(text) for text in pip["pip"]]
        assert pins
        for pin in pins:
            assert str(pin.specifier) == f"=={versions[canonicalize_name(pin.name)]}"


def test_conda_environment_has_all_that_jobs_import():
    *_, pip = yaml.safe_load((ROOT / "envs" / "kancore.yaml").read_text())["dependencies"]
    pinned = {canonicalize_name(Requirement(text).name) for text in pip["pip"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["workflow"]]
    names = {canonicalize_name(Requirement(text).name) for text in needed}
    assert names - {"snakemake"} <= pinned


# In a process of its own: the workflow sets variables of its environment.
DESCRIBE = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings
with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    snakefile, folder = map(Path, sys.argv[1:])
    loaded = api.workflow(ResourceSettings(), snakefile=snakefile, workdir=folder)._workflow
    rules = {
        rule.name: {
            "local": rule.name in loaded._localrules,
            "target": rule.shellcmd is None,
            "missing": [
                name
                for name in ("log", "benchmark", "conda_env", "message")
                if not getattr(rule, name)
            ],
            "resources": {name: repr(value) for name, value in rule.resources.items()},
            "shell": rule.shellcmd or "",
            "params": [*rule.params.keys()],
        }
        for rule in loaded.rules
    }
print(json.dumps(rules))
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """What Snakemake has read of each rule."""
    command = [sys.executable, "-c", DESCRIBE, str(ROOT / "Snakefile")]
    command.append(str(tmp_path_factory.mktemp("folder")))
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_every_rule_has_log_benchmark_environment_and_resources(rules):
    targets = {name for name, rule in rules.items() if rule["target"]}
    assert targets == {"all", "download"}
    for name in rules.keys() - targets:
        assert rules[name]["missing"] == [], name
        assert {"mem_mb", "runtime"} <= set(rules[name]["resources"]), name
        # As a resource it is checked when a job starts, and makes nothing again.
        assert "code" in rules[name]["resources" if name == "fetch" else "params"], name


def test_profiles_name_rules_that_exist(rules):
    """Snakemake ignores settings of unknown rules silently."""
    for file in (ROOT / "profiles").glob("*/config*.yaml"):
        profile = yaml.safe_load(file.read_text())
        assert set(profile.get("set-resources", {})) <= set(rules)


def test_jobs_that_go_on_from_checkpoints_are_warned_of_their_time_limit(rules):
    """Told by what they run: a rule that takes a job's parent can stop and go on."""
    resumable = {name for name, rule in rules.items() if "--parent" in rule["shell"]}
    assert resumable == {"train", "landscape"}
    for name in resumable:
        assert "--signal=URG@120 --open-mode=append" in rules[name]["resources"]["slurm_extra"]


def test_small_steps_stay_on_the_login_node_of_a_cluster(rules):
    """A figure takes seconds, a job of a cluster ten more."""
    jobs = {name for name, rule in rules.items() if not rule["local"]}
    assert jobs == {"prepare", "train", "manifold", "landscape", "inspection"}
