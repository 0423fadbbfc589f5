"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

MODELS = 1  # first version
ITEMS = 1  # first version
SCORES = 1  # first version
BUCKETS = 1  # first version
RATIONALES = 1  # first version
MIXTURES = 1  # first version
TRAINING = 1  # first version
EVALUATION = 1  # first version
SUMMARY = 1  # first version
