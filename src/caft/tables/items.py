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
OWN_COLUMNS = frozenset({*ITEM_COLUMNS, "source_order"})
"""Names that no column of the user's may take; the last is there where options were shuffled."""
GOLD_COLUMNS = frozenset({"answer", "reference_rationale"})
"""What a question must not show."""
