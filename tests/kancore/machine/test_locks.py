"""Locks: one owner at a time, freed when it dies; GPUs are leased by them."""

import errno
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from kancore.machine import devices, locks
from kancore.machine.locks import first_free, is_locked, lock

HOLD = """
import sys, time
from pathlib import Path
from kancore.machine.locks import first_free
with first_free([Path(path) for path in sys.argv[2:]], "all are taken") as index:
    print(index, time.monotonic(), flush=True)
    time.sleep(float(sys.argv[1]))
    print(time.monotonic(), flush=True)
"""


def hold(seconds, *paths):
    """Start a process that holds the first free of some locks."""
    command = [sys.executable, "-c", HOLD, str(seconds), *map(str, paths)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_lock_has_one_owner_and_is_removed_at_the_end(tmp_path):
    path = tmp_path / "folder" / "lock"
    with first_free([path], "") as index:
        assert index == 0
        assert lock(path) is None
    assert not path.exists()
    lock(path).close()


def test_kill_frees_a_lock(tmp_path):
    path = tmp_path / "lock"
    owner = hold(60, path)
    owner.stdout.readline()
    assert lock(path) is None
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    with first_free([path], "") as index:
        assert index == 0


def test_jobs_share_devices_one_at_a_time(tmp_path):
    paths = [tmp_path / "0", tmp_path / "1"]
    with first_free(paths, ""), first_free(paths, ""):
        owners = [hold(0.1, *paths) for _ in range(6)]
        for owner in owners:
            assert owner.stderr.readline() == "all are taken\n"
    spans = {0: [], 1: []}
    for owner in owners:
        output, errors = owner.communicate()
        assert not errors
        index, start, end = output.split()
        spans[int(index)].append((float(start), float(end)))
    for leases in map(sorted, spans.values()):
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(leases))
    assert list(tmp_path.iterdir()) == []


def without_locks(monkeypatch, number):
    def refuse(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_has_one_owner_too(number, tmp_path, monkeypatch):
    without_locks(monkeypatch, number)
    path = tmp_path / "lock"
    assert not is_locked(path)
    with first_free([path], ""):
        assert lock(path) is None
        assert is_locked(path)
    assert list(tmp_path.iterdir()) == []
    lock(path).close()


def test_other_faults_of_locks_are_told(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        lock(tmp_path / "lock")


DEAD = subprocess.Popen(["true"])
DEAD.wait()


@pytest.mark.parametrize(
    ("changes", "seconds", "held"),
    [
        ({}, 0, True),
        ({"pid": DEAD.pid}, 0, False),
        ({"boot": "an earlier one"}, 0, False),
        ({"host": "elsewhere", "pid": DEAD.pid, "boot": "its own"}, 60, True),
        ({"host": "elsewhere"}, 200, False),
        ({}, 200, False),  # another process has the number of a dead one
    ],
    ids=["alive", "killed", "restarted", "elsewhere", "silent", "number-again"],
)
def test_a_lock_without_the_kernel_is_that_of_a_living_process(
    changes, seconds, held, tmp_path, monkeypatch
):
    without_locks(monkeypatch, errno.ENOLCK)
    path, owner = tmp_path / "lock", tmp_path / "lock.owner"
    first = lock(path)
    owner.write_text(json.dumps(json.loads(owner.read_text()) | changes))
    then = time.time() - seconds
    os.utime(owner, (then, then))
    assert is_locked(path) == held
    second = lock(path)
    assert (second is None) == held
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "lock.owner"}
    for each in (first, second):
        if each is not None:
            each.close()


def test_an_owner_shows_that_it_lives(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.ENOLCK)
    monkeypatch.setattr(locks, "_SIGN", 0.01)
    owned = lock(tmp_path / "lock")
    os.utime(tmp_path / "lock.owner", (0, 0))
    while (tmp_path / "lock.owner").stat().st_mtime == 0:
        time.sleep(0.01)
    owned.close()
    assert not (tmp_path / "lock.owner").exists()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that seems to have GPUs, of which some have UUIDs."""
    named = defaultdict(SimpleNamespace)

    def with_gpus(count, visible=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: named[number])
        monkeypatch.setattr(devices, "unable", lambda device: None)
        monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return tmp_path / f"kancore-gpus-{os.getuid()}"

    with_gpus.named = named
    return with_gpus


def test_each_lease_is_another_gpu(machine):
    machine(2)
    with devices.lease("auto") as first, devices.lease("cuda") as second:
        assert [first, second] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    with devices.lease("auto") as again:
        assert again == torch.device("cuda", 0)


def test_leases_are_of_physical_gpus(machine):
    folder = machine(2, visible="3,MIG-a/1")
    owner = hold(60, folder / "3")
    owner.stdout.readline()
    with devices.lease("auto") as device:
        assert device == torch.device("cuda", 1)
        assert sorted(path.name for path in folder.iterdir()) == ["3", "MIG-a-1"]
    owner.kill()
    owner.communicate()


def test_a_gpu_has_one_lock_however_it_is_named(machine):
    """Of jobs of Slurm each may name its GPU 0, and one with several has others beside it."""
    uuids = "aa", "bb"
    for visible, order in (("0,1", (0, 1)), (" 1, 0", (1, 0)), ("GPU-aa,GPU-bb", (0, 1))):
        folder = machine(2, visible=visible)
        for place, physical in enumerate(order):
            machine.named[place] = SimpleNamespace(uuid=uuids[physical])
        with devices.lease("auto") as first, devices.lease("auto") as second:
            assert (first.index, second.index) == (0, 1)
            held = sorted(path.name for path in folder.iterdir())
            assert held == ["GPU-aa", "GPU-bb"]
    machine(1, visible="0")
    machine.named[0] = SimpleNamespace(uuid="bb")  # the second GPU, as a job on it alone sees it
    with devices.lease("auto"):
        assert [path.name for path in folder.iterdir()] == ["GPU-bb"]


def test_a_gpu_that_cannot_multiply_is_left(machine, monkeypatch, capsys):
    folder = machine(2)
    bad = {0}
    monkeypatch.setattr(
        devices, "unable", lambda device: "no kernel image" if device.index in bad else None
    )
    with devices.lease("auto") as device:
        assert device == torch.device("cuda", 1)
        assert [path.name for path in folder.iterdir()] == ["1"]
    bad.add(1)
    with devices.lease("auto") as device:
        assert device == torch.device("cpu")
    told = "training on the CPU: cuda:0: no kernel image\ntraining on the CPU: cuda:1"
    assert told in capsys.readouterr().err
    with pytest.raises(ValueError, match="cuda:0: no kernel image"), devices.lease("cuda"):
        pass


def test_a_broken_gpu_is_told_however_it_fails(machine, monkeypatch, capsys):
    real = devices.unable
    machine(1)
    monkeypatch.setattr(devices, "unable", real)

    def broken(*_, **__):
        raise torch.cuda.DeferredCudaCallError("CUDA call failed lazily at initialization\nmore")

    monkeypatch.setattr(torch.cuda, "get_device_properties", broken)
    monkeypatch.setattr(devices.torch, "ones", broken)
    with devices.lease("auto") as device:
        assert device == torch.device("cpu")
    told = "training on the CPU: cuda:0: CUDA call failed lazily at initialization\n"
    assert capsys.readouterr().err == told


def test_devices_that_are_not_used_are_told(machine, monkeypatch, capsys):
    machine(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # an old driver
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with devices.lease("auto") as device:
        assert device == torch.device("cpu")
    said = capsys.readouterr().err
    assert "there are 2 GPUs that PyTorch cannot use" in said
    assert "the device mps" in said
    with pytest.raises(ValueError, match="2 GPUs that PyTorch cannot use"), devices.lease("cuda"):
        pass
    with devices.lease("cpu"):
        assert not capsys.readouterr().err


def test_a_product_is_tried():
    assert devices.unable(torch.device("cpu")) is None
    assert devices.unable(torch.device("meta"))
    if not torch.cuda.is_available():
        assert devices.unable(torch.device("cuda", 0))


def test_without_gpus(machine):
    machine(0)
    for name in ("cpu", "auto"):
        with devices.lease(name) as device:
            assert device == torch.device("cpu")
    with pytest.raises(ValueError, match="device is cuda"), devices.lease("cuda"):
        pass


def test_a_removed_lock_is_not_owned_by_who_waited_for_it(tmp_path):
    path = tmp_path / "lock"
    owner = lock(path)
    path.unlink()
    other = lock(path)  # another file of the same name
    assert other is not None
    assert lock(path) is None
    owner.close()
    other.close()


@pytest.mark.parametrize("named", ["{", "[]", "{}", '{"host": "h", "boot": "b", "pid": "x"}'])
def test_a_damaged_owner_is_judged_by_its_age(named, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_boot", lambda: "b")
    monkeypatch.setattr(locks.platform, "node", lambda: "h")
    owner = tmp_path / "lock.owner"
    owner.write_text(named)
    assert locks._own(tmp_path / "lock") is None
    os.utime(owner, (0, 0))
    locks._own(tmp_path / "lock").close()
    assert not [*tmp_path.iterdir()]


def test_a_link_in_the_place_of_an_owner_s_file_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.secrets, "token_hex", lambda length: "0")
    (tmp_path / ".lock.owner.0").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        locks._own(tmp_path / "lock")
    assert not (tmp_path / "mine").exists()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match="No such device"):
        lock(tmp_path / "lock")
    assert not locks.is_locked(tmp_path / "lock")


def test_a_link_is_no_lock(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        lock(tmp_path / "lock")
    assert not (tmp_path / "mine").exists()


def test_gpus_are_leased_in_a_folder_that_nobody_else_enters(machine):
    folder = machine(1)
    folder.mkdir()
    folder.chmod(0o777)  # as another user would leave it, or earlier versions under a bad umask
    with devices.lease("auto"):
        assert [path.name for path in folder.iterdir()] == ["0"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["link", "file", "foreign"])
def test_a_folder_that_another_user_has_made_is_not_used(machine, monkeypatch, tmp_path, planted):
    folder, home = machine(1), tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    other = tmp_path / "other"
    other.mkdir()
    if planted == "link":
        folder.symlink_to(other)
    elif planted == "file":
        folder.touch()
    else:
        folder.mkdir()
        made, real = os.stat(folder).st_ino, os.fstat

        def of_another_user(opened):
            found = real(opened)
            owner = found.st_uid + (found.st_ino == made)
            return os.stat_result([*found[:4], owner, *found[5:10]])

        monkeypatch.setattr(devices.os, "fstat", of_another_user)
    with devices.lease("auto"):
        (cache,) = (home / ".cache" / "kancore").iterdir()
        assert [path.name for path in cache.iterdir()] == ["0"]
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert not [*other.iterdir()]


def test_without_any_private_folder_it_is_told(machine, monkeypatch, tmp_path):
    machine(1).touch()
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(OSError, match="no folder for locks"), devices.lease("auto"):
        pass
