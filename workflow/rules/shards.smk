# Work that is divided over several jobs is joined here: each of them makes `<table>.shards/<i>-of-<n>.parquet`.
DIVIDED = [
    layout.root_of(table)
    for kind, tables in layout.SHARDED.items()
    for table in tables
    if shards_of(kind) > 1
]

if DIVIDED:

    rule merge_shards:
        input:
            shards=shards_of_table,
        output:
            table="{whole}.parquet",
            run="{whole}.run.json",
        log:
            "logs/merge_shards/{whole}.log",
        wildcard_constraints:
            whole=f"({'|'.join(DIVIDED)})/((?![.]shards/).)+",
        resources:
            mem_mb=4000,
        message:
            "Joining {wildcards.whole}"
        script:
            "../scripts/merge_shards.py"
