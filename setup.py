"""Compiled kernels, one form for each width of vectors; all optional, see pyproject.toml."""

import hashlib
import platform
from pathlib import Path

from setuptools import Extension, setup

SOURCE = "kancore/layers/local_support.cpp"
DIGEST = hashlib.sha256((Path(__file__).parent / SOURCE).read_bytes())
FORMS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    FORMS |= {
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }

setup(
    ext_modules=[
        Extension(
            f"kancore.layers._local_support_{form}",
            [SOURCE],
            language="c++",
            define_macros=[("KANCORE_SOURCE", f'"{DIGEST.hexdigest()[:16]}"')],
            extra_compile_args=["-std=c++17", "-O3", "-fno-math-errno", "-fopenmp", *flags],
            extra_link_args=["-fopenmp"],
            optional=True,
        )
        for form, flags in FORMS.items()
    ]
)
