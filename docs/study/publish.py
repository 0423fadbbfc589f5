"""Copy what a finished run of the study says into this folder.

    python docs/study/publish.py FOLDER    # where the run is

Tables and figures are taken as they are; of the provenance what does not describe the machine.
"""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = ("summary.md", "comparisons.csv", "complexity.csv", "runs.csv", "thresholds.csv")
FIGURES = ("accuracy.png", "answering.png")
LEFT_OUT = ("platform",)


def main() -> None:
    """Copy the files of the run that is named."""
    results = Path(sys.argv[1]) / "results"
    files = [results / "summary.csv", results / "models/index.csv"]
    files += [results / "tables" / name for name in TABLES]
    files += [results / "figures" / name for name in FIGURES]
    for file in files:
        shutil.copyfile(file, HERE / file.name.replace("index", "models"))
    provenance = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in provenance.items() if key not in LEFT_OUT}
    text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / "provenance.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
