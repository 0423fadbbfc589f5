"""Section `engine`: where and how models run."""

from typing import Annotated, Literal

from pydantic import Field

from caft.settings import Count, Name, Natural, Section, Share, key, optional

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


class Shards(Section):
    """Over how many jobs the work on one table is divided; see docs/sharding.md."""

    scores: Count = key("Of scoring.", 1)
    generations: Count = key("Of chains, samples and likelihoods, each.", 1)
    rationales: Count = key("Of asking one teacher.", 1)
    evaluation: Count = key("Of asking one model in one mode.", 1)


class Vllm(Section):
    """How vLLM runs in a job that it writes in, where `evaluation.engine` is `vllm`."""

    gpu_memory_utilization: Annotated[Share, Field(gt=0)] | None = optional(
        "Share of each GPU's memory that vLLM takes for weights and cache; vLLM's own default if "
        "absent."
    )
    tensor_parallel_size: Count = key(
        "GPUs that a model is divided among, at most those of a job.", 1
    )
    max_model_len: Literal["auto"] | Count = key(
        "Longest prompt with its answer in tokens; a longer one is `[too_long]`. `auto` is the "
        "longest of the job, at most the student's context.",
        "auto",
    )


class Resources(Section):
    """What some jobs ask for instead; what is absent is as for all others."""

    threads: Count | None = optional("CPU threads of such a job.")
    gpus: Natural | None = optional("GPUs that it asks for.")
    mem_mb: Count | None = optional("Memory that it asks for.")
    runtime: Count | None = optional("Minutes that it asks for.")


class OwnResources(Section):
    """Whose jobs ask for other resources; `training` and `evaluation` count before the student."""

    students: dict[Name, Resources] = key(
        "Of jobs that run this student or a model trained from it.", {}
    )
    teachers: dict[Name, Resources] = key("Of jobs that ask this teacher.", {})
    judges: dict[Name, Resources] = key("Of jobs that ask this judge.", {})
    training: Resources = key("Of `train_stage` and `warm_up_student`.", Resources())
    evaluation: Resources = key(
        "Of jobs that ask trained models: `evaluate_model` and its like.", Resources()
    )


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
    resources: OwnResources | None = optional("Whose jobs ask for other resources than these.")
    shards: Shards = key(
        "Over how many jobs the work on one table is divided; see docs/sharding.md.", Shards()
    )

    vllm: Vllm | None = optional("How vLLM runs; for `evaluation.engine: vllm`.")

    @property
    def own(self) -> OwnResources:
        """Whose jobs ask for other resources, if anybody's do."""
        return self.resources or OwnResources()

    @property
    def precision(self) -> dict[str, str]:
        """What makes another model; on which device it is made does not."""
        return {"dtype": self.dtype, "attention": self.attention}
