"""Looking at every byte of a store."""

from dataclasses import dataclass, field
from pathlib import Path

from caft.errors import StoreError
from caft.store import dropped, files, journal, segment
from caft.store.record import Contents, Damage, Purchase


@dataclass
class Report:
    """What `check` found."""

    journals: int = 0
    segments: int = 0
    answers: int = 0  # intact records, duplicates included
    keys: set[str] = field(default_factory=set)  # of those
    damage: list[Damage] = field(default_factory=list)
    dropped: set[Purchase] = field(default_factory=set)  # answers that are not used any more
    torn: list[Damage] = field(default_factory=list)  # unfinished last lines; no damage

    def add(self, found: Contents) -> None:
        """Count a file."""
        self.answers += len(found.places)
        self.keys |= {place.key for place in found.places}
        self.damage += [damage for damage in found.damage if not damage.torn]
        self.torn += [damage for damage in found.damage if damage.torn]


def check(folder: Path) -> Report:
    """Verify every record of every file of a store, and every segment's name.

    Args:
        folder: the store. Others may write to it meanwhile.

    Returns:
        What is there and what is wrong with it.
    """
    report = Report()
    for path in [*files.journals(folder), *files.segments(folder)]:
        is_journal = files.is_journal(path)
        try:
            report.add(journal.read(path) if is_journal else inspect(path))
        except FileNotFoundError:  # folded or merged since it was listed
            continue
        except OSError as error:
            report.damage.append(Damage(path, f"cannot be read ({error})"))
        report.journals += is_journal
        report.segments += not is_journal
    for path in dropped.paths(folder):
        try:
            report.dropped |= dropped.read(path)
        except StoreError as error:
            report.damage.append(Damage(path, str(error).removeprefix(f"{path}: ")))
    return report


def inspect(path: Path) -> Contents:
    """Find the intact answers of a segment, and everything that is wrong with the file."""
    found = segment.salvage(path)
    if not found.damage and not segment.is_intact(path):
        found.damage.append(Damage(path, segment.ELSEWHERE))
    return found
