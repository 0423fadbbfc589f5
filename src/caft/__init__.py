"""Complexity-aware fine-tuning: all that the workflow calls, importable without Snakemake."""

__version__ = "0.1.0"
