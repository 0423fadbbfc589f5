"""Ask a server with a peer; run inside that peer's environment by `run.py`.

    python peers.py curator URL CALLS SLOTS

Prints the seconds of the whole call as the last word. What a peer would fetch from the network
(a tokenizer's word list) is replaced; its own limits of rate are lifted.
"""

import os
import sys
import time


class Words:
    """Counts words where a tokenizer would be downloaded."""

    def encode(self, text: str, **_: object) -> list[str]:
        """Return the words."""
        return text.split()


def curator(url: str, calls: int, slots: int) -> float:
    """Ask with bespoke curator."""
    import tiktoken

    tiktoken.get_encoding = tiktoken.encoding_for_model = lambda name: Words()
    from bespokelabs import curator as library
    from datasets import Dataset

    class Ask(library.LLM):
        def prompt(self, row: dict) -> str:
            return row["question"]

        def parse(self, row: dict, response: str) -> dict:
            return {"question": row["question"], "answer": response}

    limits = {
        "max_concurrent_requests": slots,
        "max_requests_per_minute": 10**7,
        "max_tokens_per_minute": 10**10,
    }
    asking = Ask(
        model_name="scripted",
        backend="openai",
        backend_params={"base_url": url, **limits},
        generation_params={"max_tokens": 100, "temperature": 0.0},
    )
    rows = Dataset.from_list([{"question": f"q{number}"} for number in range(calls)])
    started = time.perf_counter()
    answered = asking(rows)
    seconds = time.perf_counter() - started
    assert len(getattr(answered, "dataset", answered)) == calls
    return seconds


def distilabel(url: str, calls: int, slots: int) -> float:
    """Ask with distilabel, in batches of as many as there are slots."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    llm = OpenAILLM(
        model="scripted",
        base_url=url,
        api_key="none",
        generation_kwargs={"max_new_tokens": 100, "temperature": 0.0},
    )
    rows = [{"instruction": f"q{number}"} for number in range(calls)]
    with Pipeline(name="ask") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=slots)
        load >> TextGeneration(llm=llm, input_batch_size=slots)
    started = time.perf_counter()
    answered = pipeline.run(use_cache=False)
    seconds = time.perf_counter() - started
    assert sum(len(split) for split in answered["default"].values()) == calls
    return seconds


if __name__ == "__main__":
    os.environ |= {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "TELEMETRY_ENABLED": "false"}
    name, url, calls, slots = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(f"{({'curator': curator, 'distilabel': distilabel}[name])(url, calls, slots):.3f}")
