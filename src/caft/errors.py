"""Errors that a user can act on: each names the file, row or config path and what to do."""


class CaftError(Exception):
    """Base of all expected errors; a job prints its message in one line instead of a traceback."""


class ConfigError(CaftError):
    """The configuration is inconsistent; the message names the config path."""


class ItemError(CaftError):
    """A question set cannot be used; the message names file and row."""


class ModelError(CaftError):
    """A model folder, package or hub id cannot be used."""


class TeacherError(CaftError):
    """A teacher cannot answer at all (a single bad answer is quarantined instead)."""


class BudgetError(TeacherError):
    """A teacher's budget does not reach; what was bought is kept."""


class RankingError(CaftError):
    """A metric does not rank well enough to buy by it; nothing was asked."""


class TrainingError(CaftError):
    """A mixture cannot be trained on."""


class ComparisonError(CaftError):
    """Predictions cannot be compared; the message names the strategies."""


class StoreError(CaftError):
    """The store of paid answers cannot be read or written; what it holds is kept."""


class CutError(CaftError, ValueError):
    """A file that a run has written is not whole."""


class ExportError(CaftError):
    """A model cannot be exported or uploaded; nothing is left where it was to go."""


class MergeError(ExportError):
    """Merging an adapter changed the model's answers."""
