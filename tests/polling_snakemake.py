"""Snakemake that looks at its Slurm jobs every second, for tests on a cluster of one node.

The plugin looks after 10, 30, 60, 100 … seconds: each look that finds nothing ended adds ten
seconds to the wait, and no option changes that. Jobs of the tests take fifteen.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)

if __name__ == "__main__":
    main()
