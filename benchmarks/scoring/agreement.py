"""Check the scoring engine against a row-by-row float64 computation on items of your own.

    python benchmarks/scoring/agreement.py --items data/items/NAME.parquet --count 100

Prints the largest difference of the entropies in nats and the share of items with the same argmax.
"""

import argparse
from pathlib import Path

import yaml

from caft.complexity.agreement import compare_with_row_by_row
from caft.tables import parquet


def main() -> None:
    """Run the comparison and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    settings = parser.parse_args()
    variant = yaml.safe_load(Path("config.yaml").read_text())["prompts"]["letters"]
    items = parquet.read("items", settings.items).head(settings.count)
    table = compare_with_row_by_row(items, settings.student, {"few_shot": 0, **variant})
    print(f"{len(table)} items: max |dh| {table['difference'].max():.1e} nats,", end=" ")
    print(f"same argmax on {table['same_argmax'].sum()}")


if __name__ == "__main__":
    main()
