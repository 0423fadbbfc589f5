"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

# The first version of a step is 1. A comment says what changed with each number after it.
MODELS = 2  # 2: the chat template is probed, and its settings are in student.json
ITEMS = 1
SCORES = 2  # 2: the table has a column answer_entropy
# 2: samples are drawn block by block, so that a killed job goes on
GENERATIONS = 3  # 3: an answer is read behind the thoughts, whose tokens are counted
LIKELIHOODS = 2  # 2: a rationale's answer is marked once, in the form that the prompt asks for
METRICS = 1
FIRST_TOKENS = 1
BUCKETS = 2  # 2: buckets are made from a metrics table; values from a file are not rounded
JUDGEMENTS = 1
# 3: "The answer is B" after a [[...]] that holds no answer is read
RATIONALES = 4  # 4: the table has what the teacher thought
# 2: as LIKELIHOODS; random controls have validation rows
MIXTURES = 3  # 3: rows and plan know the target `reasoning`; the plan has a column updates
TRAINING = 1
SHORT_TRAINING = 1  # of stages with few updates alone: the first one has a rate above 0
# 2: as 3 of RATIONALES
EVALUATION = 3  # 3: as 3 of GENERATIONS
SUMMARY = 4  # 4: a judge's money, tokens as they were trained, and each scoring counted once
ANALYSIS = 1
