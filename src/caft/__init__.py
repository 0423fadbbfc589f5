"""Complexity-aware fine-tuning: everything the Snakemake workflow calls, importable without Snakemake."""

__version__ = "0.1.0"
