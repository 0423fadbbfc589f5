"""How data is kept: Parquet tables with fixed schemas, atomic writes, and content hashes."""
