"""Put the networks that training jobs have kept into one file for each architecture."""

from itertools import groupby
from pathlib import Path
from typing import Literal

from kancore.machine.files import AGAIN, DamagedFileError, read_json
from kancore.machine.program import program
from kancore.schemes import Architecture
from kancore.training.stored import read_networks, write_networks


def main(jobs: Path, folder: Path, keep: Literal["best", "all", "none"], out: list[Path]) -> None:
    """Read the files of the jobs, write those of architectures.

    Parameters
    ----------
    jobs
        JSON file with the names of the jobs.
    folder
        The folder of their folders.
    keep
        Whether a file has the best network of all seeds, or all.
    out
        The files, DATASET/OBJECTIVE/ARCHITECTURE.safetensors.
    """
    files = {"/".join((*path.parts[-3:-1], path.stem)): path for path in out}
    families = groupby(sorted(read_json(jobs)), lambda name: name.rsplit("/", 2)[0])
    for _, names in families:
        found: dict[str, list[dict]] = {}
        for name in names:
            try:
                held = read_networks(folder / name / f"networks.{keep}.safetensors")
            except ValueError as error:
                raise DamagedFileError(f"{error}; {AGAIN}") from error
            for network in held:
                architecture = Architecture.from_dict(network["architecture"]).name
                place = f"{network['dataset']}/{network['objective']}/{architecture}"
                found.setdefault(place, []).append(network)
        for place, networks in found.items():
            best = max(networks, key=lambda each: each["rank"])
            write_networks(files.pop(place), networks if keep == "all" else [best])
    for path in files.values():  # all of whose runs have diverged
        write_networks(path, [])


if __name__ == "__main__":
    program(main)
