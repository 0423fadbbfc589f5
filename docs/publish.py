"""Copy what a finished run says into a folder of the documentation.

    python docs/publish.py FOLDER study         # where the run is, and which page it is for
    python docs/publish.py FOLDER strategies

Tables and figures are taken as they are; of the provenance what does not describe the machine. For
the page of the strategies, a table of them is written in addition.
"""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
TABLES = ("summary.md", "comparisons.csv", "complexity.csv", "runs.csv", "thresholds.csv")
FIGURES = ("accuracy.png", "answering.png")
LEFT_OUT = ("platform",)
MODES = ("direct", "cot", "adaptive")
REFERENCE = "complexity_aware"


def main() -> None:
    """Copy the files of the run that is named."""
    results, page = Path(sys.argv[1]) / "results", sys.argv[2]
    target = HERE / page
    target.mkdir(exist_ok=True)
    files = [results / "summary.csv", results / "models/index.csv"]
    files += [results / "tables" / name for name in TABLES]
    files += [results / "figures" / name for name in FIGURES]
    for file in files:
        shutil.copyfile(file, target / file.name.replace("index", "models"))
    provenance = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in provenance.items() if key not in LEFT_OUT}
    text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
    (target / "provenance.json").write_text(text + "\n", encoding="utf-8")
    if page == "strategies":
        print("\n".join(side_by_side(target)))


def side_by_side(folder: Path) -> list[str]:
    """Return a table of a run's strategies: accuracy by mode, tokens, and one verdict each."""
    summary, pairs = (
        pd.read_csv(folder / name).query("shots == 0 and checkpoint == 'last'")
        for name in ("summary.csv", "comparisons.csv")
    )
    chains = pairs[pairs["mode"] == "cot"]
    heads = ["strategy", "direct", "chains", "adaptive", "teacher tokens"]
    heads += ["tokens written: chains, adaptive", f"chains against `{REFERENCE}`"]
    lines = [heads]
    for strategy, rows in summary.groupby("strategy", sort=False):
        modes = [rows[rows["mode"] == mode].iloc[0] for mode in MODES]
        teacher = f"{rows['teacher_completion_tokens'].max():,.0f}"
        written = ", ".join(f"{row['written_tokens']:.1f}" for row in modes[1:])
        verdict = _verdict(chains, str(strategy))
        lines.append([f"`{strategy}`", *map(_accuracy, modes), teacher, written, verdict])
    head, *rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return [head, "|---" * len(heads) + "|", *rows]


def _accuracy(row: pd.Series) -> str:
    return f"{row['accuracy']:.2f} [{row['accuracy_low']:.2f}, {row['accuracy_high']:.2f}]"


def _verdict(pairs: pd.DataFrame, strategy: str) -> str:
    """Return the difference to the reference with its interval, and the verdict."""
    before = pairs[(pairs["strategy"] == strategy) & (pairs["other"] == REFERENCE)]
    behind = pairs[(pairs["strategy"] == REFERENCE) & (pairs["other"] == strategy)]
    if before.empty and behind.empty:
        return ""
    sign, row = (1, before.iloc[0]) if len(before) else (-1, behind.iloc[0])
    names = ("difference", "difference_low", "difference_high")
    value, *ends = (round(sign * row[name], 2) + 0.0 for name in names)
    word = str(row["verdict"]).split(":")[0].replace("underpowered", "open")
    if sign < 0:
        word = {"better": "worse", "worse": "better"}.get(word, word)
    return f"{value:+.2f} [{min(ends):+.2f}, {max(ends):+.2f}], {word}"


if __name__ == "__main__":
    main()
