"""One integer per stage, raised with a reason whenever the meaning of its output changes.

Snakemake does not see edits in imported modules, so rules carry these numbers in `params:
code=...`.
"""

# The first version of a step is 1. A comment says what changed with each number after it.
# 2: the chat template is probed, and its settings are in student.json; context, vocabulary and
# attention are as transformers reads the config
MODELS = 2
# 2: gold numbers are read by the grammar that reads the models' numbers; 3: what is no text is
# refused, the keys of an object and what stands beside options are labels, marks such as "A) " are
# taken off options; 4: options that a table fills up are left out, single precision and percentages
# are as they were written, an object with a key twice is refused
ITEMS = 4
SCORES = 2  # 2: the table has a column answer_entropy
# 2: samples are drawn block by block; 3: an answer is read behind the thoughts, and as 4 of
# RATIONALES; 4: no matrix ends an answer, and as 6 of RATIONALES
GENERATIONS = 4
# Of chains that are drawn; until 3 as GENERATIONS. 4: each text has draws of its own, whatever is
# written beside it; 5: as 4 of GENERATIONS
SAMPLES = 5
LIKELIHOODS = 3  # 2: an answer is marked once, in the form asked for; 3: as 4 of RATIONALES
METRICS = 1
FIRST_TOKENS = 2  # 2: as 4 of RATIONALES; the first token is that of the answer, not of a thought
BUCKETS = 2  # 2: buckets are made from a metrics table; values from a file are not rounded
# 2: as 4 of RATIONALES; [[7]] or [[8]] is no rating; 3: as 6 of RATIONALES
JUDGEMENTS = 3
# 3: "The answer is B" after a [[...]] that holds no answer is read; 4: one grammar of numbers, all
# letters alike, hedges are [invalid], \boxed{B} and a heading's answer are read; thinking stands
# beside an answer, only known endings are complete; what brought no answer fails the job, a refused
# prompt is a row with its words; 5: more dialects of usage and of errors beside a text, more marks;
# 6: parts of a content that are neither text nor thinking are no answer, more dialects; Roman
# numbers, "C#", "2%" and a denied answer name no option, a full stop or quotes make no other text;
# 7: of equally complex items `draw: top` buys the same for every seed; where a strategy trains on
# reasoning, an accepted answer that shows some is selected before others
RATIONALES = 7
CHOICES = 1
# 2: as LIKELIHOODS, random controls have validation rows; 3: as 4 of RATIONALES; rows and plan know
# the target `reasoning`, and the plan has the number of updates; 4: as 6 of RATIONALES; 5: as 7 of
# RATIONALES, and what a proportional draw leaves is easy by its complexity
MIXTURES = 5
TRAINING = 1
SHORT_TRAINING = 1  # of stages with few updates alone: the first one has a rate above 0
# 2: as 3 of RATIONALES; 3: as 3 of GENERATIONS; what does not fit the context is not asked; 4: as 4
# of GENERATIONS
EVALUATION = 4
# 4: a judge's money, tokens as they were trained, and each scoring counted once; 5: the plan and
# the table of complexity say whether the student can rank; a column too_long_rate; more reasons of
# rejected answers, and who answered, in the spending; 6: epochs by bucket, accepted items and
# fallback in the summary, the relevant difference beside verdicts, a table of thresholds; 7:
# figures name their points, complexity has thresholds and area, losses have common axes; 8: what an
# answer takes, a table and a figure of accuracy against the tokens that models write; 9: the choice
# of rationales that the student finds likely is in the seconds of scoring; 10: tables for a paper
# say whether their intervals know other trainings; 11: stages of other strategies are paid with
# what they took themselves, gains over chance are paired by model, what a seed leaves open is not
# saved, the choice of epoch and threshold from the same answers counts once
SUMMARY = 11
OVERVIEW = 2  # 2: with one seed, what a verdict is about; alike is no proof of equality
ANALYSIS = 2  # 2: rank correlations have intervals
EXPLORER = 1
SAMPLES_PAGE = 1
