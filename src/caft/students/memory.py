"""What fits into the memory of a device, and how work goes on that did not fit."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

_SHARE = 0.7  # of the free memory for keys and values; a layer of them is copied as they grow

Item = TypeVar("Item")
Result = TypeVar("Result")


def cached_tokens(model: Any, bytes_per_token: int) -> int:
    """Return how many tokens' keys and values fit on the model's device; the CPU sets no limit.

    Args:
        model: on its device.
        bytes_per_token: of all layers' keys and values.
    """
    if model.device.type != "cuda":
        return sys.maxsize
    return int(_SHARE * free_bytes(model.device)) // max(bytes_per_token, 1)


def free_bytes(device: Any) -> int:
    """Return what can still be allocated on a GPU, what torch holds without need included."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_short(error: Exception) -> bool:
    """Tell whether memory was short, of a GPU or of the machine."""
    from accelerate.utils.memory import should_reduce_batch_size

    return bool(should_reduce_batch_size(error))


def release() -> None:
    """Give back what torch holds without need."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def in_batches(
    items: list[Item],
    cut: Callable[[list[Item], int], Iterator[list[Item]]],
    budget: int,
    compute: Callable[[list[Item]], Result],
    size: Callable[[list[Item]], int],
) -> Iterator[tuple[list[Item], Result]]:
    """Compute batches; when memory is short, all that is left is cut for half of what did not fit.

    Args:
        items: in any order.
        cut: cuts items into batches of a budget.
        budget: of a batch.
        compute: of one batch.
        size: of a batch, in the budget's unit.

    Yields:
        Each batch with its result.

    Raises:
        RuntimeError: of torch, if a single item does not fit.
    """
    left = list(cut(items, budget))[::-1]
    while left:
        batch = left.pop()
        try:
            result = compute(batch)
        except RuntimeError as error:
            if len(batch) == 1 or not is_short(error):
                raise
        else:
            yield batch, result
            continue
        release()  # outside the handler, which would hold what is to be given back
        rest = [item for part in [batch, *left[::-1]] for item in part]
        left = list(cut(rest, size(batch) // 2))[::-1]
