"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

# The first version of a step is 1. A comment says what changed with each number after it.
MODELS = 1
ITEMS = 1
SCORES = 2  # 2: the table has a column answer_entropy
GENERATIONS = 2  # 2: samples are drawn block by block, so that a killed job goes on
LIKELIHOODS = 2  # 2: a rationale's answer is marked once, in the form that the prompt asks for
METRICS = 1
FIRST_TOKENS = 2  # 2: as 4 of RATIONALES; the first token is that of the answer, not of a thought
BUCKETS = 2  # 2: buckets are made from a metrics table; values from a file are not rounded
JUDGEMENTS = 2  # 2: as 4 of RATIONALES
# 4: what brought no answer fails the job, a refused prompt is a row with its words; thinking is no
# part of an answer, and only known endings are complete
RATIONALES = 4
MIXTURES = 2  # 2: as LIKELIHOODS; random controls have validation rows
TRAINING = 1
EVALUATION = 2  # 2: "The answer is B" after a [[...]] that holds no answer is read
SUMMARY = 4  # 4: a judge's money, tokens as they were trained, and each scoring counted once
ANALYSIS = 1
