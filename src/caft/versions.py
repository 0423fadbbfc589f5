"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

# The first version of a step is 1. A comment says what changed with each number after it.
MODELS = 2  # 2: context and vocabulary as transformers reads the config, and the attention
ITEMS = 1
SCORES = 2  # 2: the table has a column answer_entropy
GENERATIONS = 2  # 2: samples are drawn block by block, so that a killed job goes on
LIKELIHOODS = 2  # 2: a rationale's answer is marked once, in the form that the prompt asks for
METRICS = 1
FIRST_TOKENS = 1
BUCKETS = 2  # 2: buckets are made from a metrics table; values from a file are not rounded
JUDGEMENTS = 1
RATIONALES = 3  # 3: "The answer is B" after a [[...]] that holds no answer is read
MIXTURES = 2  # 2: as LIKELIHOODS; random controls have validation rows
TRAINING = 1
EVALUATION = 3  # 3: a prompt that does not fit into the context is [too_long], not asked
SUMMARY = 5  # 5: a column too_long_rate
ANALYSIS = 1
