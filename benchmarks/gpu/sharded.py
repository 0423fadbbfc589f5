"""Be one process of a training that is sharded on CPUs too, where accelerate would not shard.

It stands between a launcher and `-m caft.training JOB`, so that the dry run of the two-card check
goes through FSDP as well: torchrun ... benchmarks/gpu/sharded.py -m caft.training JOB
"""

import os
import sys

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from caft.training.launch import main

_make = AcceleratorState.__init__


def _sharded(self: AcceleratorState, *given: object, **named: object) -> None:
    _make(self, *given, **named)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = named.get("fsdp_plugin") or FullyShardedDataParallelPlugin()


if __name__ == "__main__":
    AcceleratorState.__init__ = _sharded  # type: ignore[method-assign]
    sys.exit(main(sys.argv[-1]))
