"""Download the raw files of a data set, and list them in a file when all are there."""

import argparse
import os
from pathlib import Path

from kancore.data.download import fetch
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--folder", type=Path, required=True, help="where the files go")
    parser.add_argument("--mirror", help="the only source; KANCORE_MIRROR, or else publishers")
    parser.add_argument("--no-verify", action="store_true", help="only warn of wrong checksums")
    parser.add_argument("--rows", type=int, help="rows of a table that are enough")
    parser.add_argument("--list", type=Path, required=True, help="file to write at the end")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code, f"kancore.data.{args.dataset}")
    mirror = args.mirror or os.environ.get("KANCORE_MIRROR")
    try:
        files = fetch(
            args.dataset, args.folder, mirror=mirror, rows=args.rows, verify=not args.no_verify
        )
    except ValueError as error:
        raise SystemExit(f"{error}") from error
    names = "".join(f"{file.name}\n" for file in files)
    write_atomically(args.list, lambda part: part.write_text(names))


if __name__ == "__main__":
    run_plainly(main)
