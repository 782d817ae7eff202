"""List the commands of the package: ``python -m kancore``."""

import ast
from pathlib import Path

_COMMANDS = ("plan", "status", "predict", "bench")


def main() -> None:
    """Print what each command does, in the first words of its module, which is not imported."""
    here = Path(__file__).parent
    for name in _COMMANDS:
        path = here / name / "__main__.py" if (here / name).is_dir() else here / f"{name}.py"
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        words = text.partition("\n")[0].partition(": ``")[0].rstrip(".")
        print(f"python -m kancore.{name:<9} {words}")
    print("Each has --help. The workflow is run by snakemake; see README.md.")


if __name__ == "__main__":
    main()
