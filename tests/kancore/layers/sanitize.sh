#!/usr/bin/env bash
# Run the kernels' tests with address and undefined-behaviour sanitizers (g++; takes minutes).
# Usage: tests/kancore/layers/sanitize.sh [FORM ...], of generic, avx2 and avx512; by default all.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../../.."
project=$PWD
python=${PYTHON:-$project/.venv/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r kancore tests pyproject.toml "$folder"
cd "$folder"
rm -f kancore/layers/*.so
layers=kancore/layers
suffix=$("$python" -c "import importlib.machinery as m; print(m.EXTENSION_SUFFIXES[0])")
print_digest="import sys, pathlib as p; from kancore.machine.cpp import source_digest as d
print(d(map(p.Path, sys.argv[1:])))"
declare -A flags=([generic]="" [avx2]="-march=x86-64-v3" [avx512]="-march=x86-64-v4")
(($#)) || set -- generic avx2 avx512
for form; do
  for module in local_support products; do
    digest=$("$python" -c "$print_digest" $layers/compiled_cpp/* $layers/${module}_cpp/*)
    # shellcheck disable=SC2086
    g++ -shared -fPIC -std=c++17 -O1 -g -fno-math-errno -fopenmp ${flags[$form]} \
      -fsanitize=address,undefined -fno-sanitize-recover=undefined \
      -DKANCORE_SOURCE="\"$digest\"" $layers/${module}_cpp/library.cpp \
      -o "$layers/_${module}_$form$suffix"
  done
done
preload=
for library in libasan.so libubsan.so libstdc++.so; do
  preload+="$(g++ -print-file-name=$library) "
done
LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$folder \
  "$python" -m pytest -p no:cacheprovider tests/kancore/layers -k "not pytorch"
