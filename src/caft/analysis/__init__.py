"""Statistics: intervals, comparisons of strategies, and how well metrics find wrong answers."""

TABLES = (
    "metric_quality",
    "metric_correlation",
    "bucket_composition",
    "bucket_accuracy",
    "complexity_accuracy",
    "calibration",
)
"""What `caft.analysis.study.tables_of` makes of one student on one data set."""
