"""Taking things out of a run: model folders, training rows, with cards that say what they are."""

from caft.export.choice import Choice, find
from caft.export.folder import export_data, export_model

__all__ = ["Choice", "export_data", "export_model", "find"]
