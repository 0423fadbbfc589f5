#!/bin/sh
# What a machine with a GPU and no network needs: benchmarks/gpu/fetch.sh FOLDER, on one that has a network.
# Wheels for Python 3.12 beside torch, transformers and accelerate of the machine's own, about 57 MiB. Students of the
# checks have random weights, so no model is fetched. There: pip install --no-deps --no-index FOLDER/*.whl
set -eu
folder=${1:?folder for the wheels}
mkdir -p "$folder"
platforms=""
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do
    platforms="$platforms --platform ${tag}_x86_64"
done
# shellcheck disable=SC2086
pip download --no-deps --only-binary=:all: --python-version 3.12 $platforms --dest "$folder" \
    pyarrow trl peft datasets pydantic pydantic-core annotated-types multiprocess dill gguf jsonschema nvidia-ml-py \
    stamina aiolimiter xxhash
