"""Compiled kernels, one form for each width of vectors; all optional, see pyproject.toml."""

import os
import platform
import runpy
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LAYERS = Path("kancore/layers")
MODULES = ("local_support", "products")
OPENMP = "-fopenmp"
# By its path: where a package is built, it need not be possible to import it.
DIGEST = "kancore/machine/cpp.py"
source_digest = runpy.run_path(DIGEST)["source_digest"]
FORMS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    FORMS |= {
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }


class BuildKernels(build_ext):
    """Build kernels with OpenMP where the compiler has it: Apple's has not, and needs none.

    Jobs have one thread unless they are told otherwise; without OpenMP they keep to it.
    """

    def build_extensions(self) -> None:
        """Build all forms, side by side."""
        self.parallel = self.parallel or os.cpu_count()
        if self._links(OPENMP):
            for extension in self.extensions:
                extension.extra_compile_args.append(OPENMP)
                extension.extra_link_args.append(OPENMP)
        super().build_extensions()

    def _links(self, flag: str) -> bool:
        """Whether the compiler makes a library with a flag."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.cpp")
            source.write_text("#include <omp.h>\nint probe() { return omp_get_max_threads(); }\n")
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=[flag])
                self.compiler.link_shared_object(
                    objects, str(Path(folder, "probe.so")), extra_postargs=[flag], target_lang="c++"
                )
            except Exception:  # as many kinds as there are compilers
                return False
        return True


def kernels(module: str, form: str, flags: list[str]) -> Extension:
    """Describe one form of a module's kernels; `kancore.layers.compiled` loads it."""
    folders = (LAYERS / f"{each}_cpp" for each in ("compiled", module))
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    return Extension(
        f"kancore.layers._{module}_{form}",
        [str(LAYERS / f"{module}_cpp" / "library.cpp")],
        depends=[DIGEST, *map(str, files)],
        language="c++",
        define_macros=[("KANCORE_SOURCE", f'"{source_digest(files)}"')],
        extra_compile_args=["-std=c++17", "-O3", "-fno-math-errno", *flags],
        optional=True,
    )


setup(
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        kernels(module, form, flags) for module in MODULES for form, flags in FORMS.items()
    ],
)
