"""Checkpoints: the last good one is found, others' and damaged ones are not used."""

import os

import pytest
import torch

from kancore.training import checkpoints

STATE = {"step": 3, "weights": torch.arange(5000, dtype=torch.float32)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep" / "checkpoint.pt"


def load_step(path, identity="me"):
    state = checkpoints.load(path, identity)
    return state and state["step"]


def flip(content):
    """Change one bit of the tensor's values, which leaves the archive readable."""
    middle = content.index(torch.arange(2000, 2010, dtype=torch.float32).numpy().tobytes())
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99, flip]


def test_state_comes_back(path):
    checkpoints.save(path, "me", STATE)
    state = checkpoints.load(path, "me")
    assert state["step"] == 3
    assert torch.equal(state["weights"], STATE["weights"])


def test_nothing_saved_is_no_state(path, capsys):
    assert checkpoints.load(path, "me") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, path, capsys):
    for step in (1, 2, 3):
        checkpoints.save(path, "me", {**STATE, "step": step})
    path.write_bytes(damage(path.read_bytes()))
    assert load_step(path) == 2
    assert f"{path}: unreadable checkpoint, removed" in capsys.readouterr().err
    checkpoints.save(path, "me", {**STATE, "step": 4})
    path.write_bytes(damage(path.read_bytes()))
    assert load_step(path) == 2  # the damaged one never took its place


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_only_checkpoint_damaged_is_a_start_from_the_beginning(damage, path, capsys):
    checkpoints.save(path, "me", STATE)
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoints.load(path, "me") is None
    assert "unreadable" in capsys.readouterr().err


def test_a_checkpoint_of_another_sweep_is_not_used(path, capsys):
    checkpoints.save(path, "other", STATE)
    assert checkpoints.load(path, "me") is None
    assert "of another sweep or code" in capsys.readouterr().err
    assert load_step(path, "other") == 3


def test_killed_between_two_renames_the_one_before_is_found(path, monkeypatch):
    checkpoints.save(path, "me", STATE)
    replace = os.replace

    def killed(source, target):
        if target == path:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(path, "me", {**STATE, "step": 4})
    monkeypatch.undo()
    assert load_step(path) == 3


def test_a_pickle_is_refused_and_not_run(path, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    path.parent.mkdir()
    torch.save({"identity": "me", "state": Evil()}, path)
    assert checkpoints.load(path, "me") is None
    assert not (tmp_path / "pwned").exists()
    assert "unreadable" in capsys.readouterr().err


def test_remove_leaves_nothing(path):
    for step in (1, 2):
        checkpoints.save(path, "me", {**STATE, "step": step})
    checkpoints.remove(path)
    assert list(path.parent.iterdir()) == []
