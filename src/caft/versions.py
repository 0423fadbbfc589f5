"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

MODELS = 1  # first version
ITEMS = 1  # first version
SCORES = 2  # column answer_entropy
GENERATIONS = 2  # samples are drawn per block
LIKELIHOODS = 2  # as MIXTURES
METRICS = 1  # first version
FIRST_TOKENS = 1  # first version
BUCKETS = 2  # from a metrics table; imported values are not rounded
JUDGEMENTS = 1  # first version
RATIONALES = 3  # a statement behind an unreadable [[...]] counts
MIXTURES = 2  # one mark in a rationale, in the asked form; validation of random controls
TRAINING = 1  # first version
EVALUATION = 2  # a statement behind an unreadable [[...]] counts
SUMMARY = 4  # judge's money, tokens as trained, scoring counted once
ANALYSIS = 1  # first version
