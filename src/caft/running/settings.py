"""Section `engine`: where and how models run."""

from typing import Literal

from caft.settings import Count, Natural, Section, key

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


class Shards(Section):
    """Over how many jobs the work on one table is divided; see docs/sharding.md."""

    scores: Count = key("Of scoring.", 1)
    generations: Count = key("Of chains, samples and likelihoods, each.", 1)
    rationales: Count = key("Of asking one teacher.", 1)
    evaluation: Count = key("Of asking one model in one mode.", 1)


class Engine(Section):
    """Where and how models run; results carry device and precision in their provenance."""

    device: Device = key(
        "`auto` takes a free GPU where the machine has any, one per job, and waits for it; `cpu` "
        "takes none; with `cuda` or `gpus` a GPU that is not there is an error.",
        "auto",
    )
    dtype: Precision = key(
        "`auto` is float32 on a CPU and bfloat16 on a GPU (final norm, head and softmax in "
        "float32).",
        "auto",
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] = key(
        "Attention implementation; `sdpa` is `eager` where a family of models has no sdpa.", "sdpa"
    )
    token_budget: Literal["auto"] | Count = key(
        "Tokens per scoring batch; `auto` is what was measured best for the device.", "auto"
    )
    threads: Count = key("CPU threads of a job that runs a model.", 1)
    gpus: Natural = key("GPUs that a job that runs a model asks for.", 0)
    mem_mb: Count = key("Memory that such a job asks for.", 6000)
    runtime: Count = key("Minutes that such a job asks for.", 240)
    shards: Shards = key(
        "Over how many jobs the work on one table is divided; see docs/sharding.md.", Shards()
    )

    @property
    def precision(self) -> dict[str, str]:
        """What makes another model; on which device it is made does not."""
        return {"dtype": self.dtype, "attention": self.attention}
