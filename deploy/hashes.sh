#!/usr/bin/env bash
# What the image installs, each file by its SHA-256: writes deploy/packages*.lock from requirements.lock and pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() { # FILE WHAT_IT_IS < REQUIREMENTS
    { echo "# $2 Written by \`make hashes\`."; uv pip compile --quiet --generate-hashes --python-version 3.12 --no-annotate --no-header "${@:3}" -; } > "$1.new"
    mv "$1.new" "$1"
}

grep -Ev '^(#|torch)' requirements.lock |
    lock deploy/packages.lock "requirements.lock without torch and torchvision, which have an index of their own." --no-deps
sed -n 's/^onnxruntime==/onnxruntime-gpu==/p' requirements.lock |
    lock deploy/packages-cuda.lock "In place of onnxruntime, for NVIDIA GPUs." --no-deps
sed -n 's/^requires = \["\(hatchling.*\)"\]$/\1/p' pyproject.toml |
    lock deploy/packages-build.lock "What builds our wheel."
