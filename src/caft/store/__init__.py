"""The record of paid answers: append-only, content-addressed, for any number of writers, lock-free.

`answers` has the store itself; `record` what is kept per answer; `journal` and `segment` the two
kinds of files; `check` and `compaction` look after them; `export` writes all answers into one
file, and `stats` adds up how many there are and what they cost.
"""

from caft.store.answers import Store
from caft.store.record import RECORD, answer_key

__all__ = ["RECORD", "Store", "answer_key"]
