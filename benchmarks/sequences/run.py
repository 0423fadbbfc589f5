"""Take a project through random sequences of edits, losses and kills; compare with fresh runs.

    python benchmarks/sequences/run.py                  # 30 sequences of up to 8 steps
    python benchmarks/sequences/run.py --seeds 7 8      # these two

Each sequence is drawn by its seed (`tests/workflow/sequences.py`). After every run the tables are
those of a run of the same inputs in a new folder, byte for byte but for what the clock measures.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "workflow")]

from harness import sums_config  # noqa: E402 (of the tests)
from sequences import Sequence, World  # noqa: E402 (of the tests)
from tiny import CHATML, build_model, build_tokenizer, save_student  # noqa: E402


def main() -> int:
    """Run the sequences of the seeds; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(1, 31))
    seeds = parser.parse_args().seeds
    failed = []
    with tempfile.TemporaryDirectory() as name:
        world = World(
            Path(name), sums_config(Path("sums.jsonl"), Path("student")), _student(Path(name))
        )
        for seed in seeds:
            started, sequence = time.monotonic(), Sequence(world, seed)
            try:
                sequence.go()
            except AssertionError as error:
                failed.append(seed)
                print(error, flush=True)
            state = "FAILED" if seed in failed else "held"
            print(f"{state} {time.monotonic() - started:4.0f} s, {sequence}", flush=True)
    print(f"{len(seeds) - len(failed)} of {len(seeds)} sequences held; failed: {failed}")
    return bool(failed)


def _student(folder: Path) -> Path:
    """Make the tiny student of the tests."""
    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer = build_tokenizer(
        CHATML, specials, eos_token="<|im_end|>", pad_token="<|pad|>",
        extra_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    return save_student(build_model(tokenizer, spread=0.3), tokenizer, folder / "tiny-student")


if __name__ == "__main__":
    sys.exit(main())
