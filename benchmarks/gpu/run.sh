#!/bin/sh
# All checks of the GPU paths on this machine: benchmarks/gpu/run.sh [--dry] [--only THEME ...] [--out FOLDER]
# With --dry on a CPU, in tiny shapes: it shows that the checks run, and measures nothing worth telling.
set -eu
cd "$(dirname "$0")/../.."
PYTHONPATH="$PWD/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}" exec python benchmarks/gpu/run.py "$@"
