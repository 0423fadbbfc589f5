"""The columns that all items have, for those who check names without reading a table."""

ITEM_COLUMNS = (
    "item_id",
    "question",
    "options",
    "answer",
    "answer_kind",
    "category",
    "reference_rationale",
    "source",
    "source_id",
    "split",
)
GOLD_COLUMNS = frozenset({"answer", "reference_rationale"})
"""What a question must not show."""
