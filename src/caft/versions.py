"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

MODELS = 1  # first version
ITEMS = 1  # first version
SCORES = 2  # column answer_entropy
GENERATIONS = 2  # samples are drawn per block
LIKELIHOODS = 1  # first version
METRICS = 1  # first version
FIRST_TOKENS = 1  # first version
BUCKETS = 2  # from a metrics table; imported values are not rounded
JUDGEMENTS = 1  # first version
RATIONALES = 3  # a statement behind an unreadable [[...]] counts
MIXTURES = 2  # validation rows of a random control are drawn at random
TRAINING = 1  # first version
EVALUATION = 2  # a statement behind an unreadable [[...]] counts
SUMMARY = 3  # intervals by bucket
ANALYSIS = 1  # first version
