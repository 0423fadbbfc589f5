"""What is read in 24,064 published chains of thought, beside the plainest reader of their form."""

import re
from collections import Counter

import pandas as pd

from caft.prompting.answers import INVALID, parse

_STATED = re.compile(r"answer is(?: \(([A-J])|\s*\Z)")  # the last one may be cut off
_SEVERAL = re.compile(r"answer is \([A-J]\)?,?(?: and| or)? \(?[A-J]\b")


def test_chains_are_read_as_they_state_their_answer_but_for_hedges(reference_data):
    options = pd.read_parquet(reference_data / "mmlu_pro_items.parquet").set_index("item_id")
    counts = Counter()
    for size in ("70b", "8b"):
        chains = pd.read_parquet(reference_data / f"cot_llama-3.1-{size}-instruct.parquet")
        for item_id, text in zip(chains["item_id"], chains["response"], strict=True):
            read = parse(text, "any", "choice", int(options.loc[item_id, "n_options"]))
            stated = _STATED.findall(text)
            if read != INVALID:
                assert read == stated[-1], text[-200:]
                counts["read"] += 1
            elif not stated or not stated[-1]:
                counts["states none"] += 1
            else:
                assert _SEVERAL.match(text, list(_STATED.finditer(text))[-1].start()), text[-200:]
                counts["names several"] += 1
    assert counts == {"read": 22736, "states none": 1303, "names several": 25}
