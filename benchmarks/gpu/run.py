"""Run the checks of the GPU paths, each in a process of its own; one JSON and one table come out.

    benchmarks/gpu/run.sh            # on a machine with a GPU
    benchmarks/gpu/run.sh --dry      # on a CPU, in tiny shapes

Each theme is a file beside this one with a function `check(machine)`, which returns what it found,
and with `EXPECTED`: what one H100 was expected to show, by arithmetic, beside which it stands.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
THEMES = (
    "visible",
    "reservation",
    "precision",
    "steps",
    "resume",
    "packing",
    "decoding",
    "long_context",
    "engines",
    "two_cards",
)
_SECONDS = 1800.0  # of one theme


def main() -> int:
    """Run what is asked for; the status is 1 if a check fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dry", action="store_true", help="on a CPU, in tiny shapes")
    parser.add_argument("--only", nargs="+", choices=THEMES, default=THEMES)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--theme", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.theme:
        return _one(asked.theme, asked.dry, asked.out)
    asked.out.mkdir(parents=True, exist_ok=True)
    found = {theme: _in_a_process(theme, asked.dry) for theme in asked.only}
    (asked.out / "gpu.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    table = _table(found)
    (asked.out / "gpu.md").write_text(table, encoding="utf-8")
    print(table)
    return int(any("error" in one for one in found.values()))


def _in_a_process(theme: str, dry: bool) -> dict[str, object]:
    """Run a theme where its memory is given back and its end ends nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "found.json")
        command = [sys.executable, __file__, "--theme", theme, "--out", str(told)]
        started = time.monotonic()
        try:
            subprocess.run([*command, *(["--dry"] if dry else [])], timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"not done in {_SECONDS:.0f} s"}
        found = json.loads(told.read_text()) if told.is_file() else {"error": "ended early"}
        return {**found, "seconds": round(time.monotonic() - started, 1)}


def _one(theme: str, dry: bool, told: Path) -> int:
    sys.path.insert(0, str(HERE))
    from machine import Machine, NotHere

    module = importlib.import_module(theme)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = module.check(Machine(dry, Path(folder)))
        except NotHere as reason:
            found = {"skipped": str(reason)}
        except Exception as error:  # the next theme may still tell something
            import traceback

            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
    told.write_text(json.dumps({"expected": module.EXPECTED, **found}), encoding="utf-8")
    return 0


def _table(found: dict[str, dict[str, object]]) -> str:
    lines = ["| check | found | one H100, by arithmetic |", "|---|---|---|"]
    for theme, values in found.items():
        shown = {name: value for name, value in values.items() if name != "expected"}
        told = ", ".join(f"{name} {value}" for name, value in shown.items())
        expected = values.get("expected")
        hoped = ", ".join(f"{key} {value}" for key, value in expected.items()) if expected else "-"
        lines.append(f"| {theme} | {told} | {hoped} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
