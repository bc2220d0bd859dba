"""The account of a reading: how many pictures there are, and what was left out, and why."""

from dataclasses import dataclass, field
from typing import get_args

from core.data.pictures import Reason

MAX_NAMES = 1000
"""Names kept of the files left out for one reason; all are counted."""


@dataclass
class Summary:
    """How many pictures were read, and how many files left out, by reason, with the names of the first thousand of each."""

    read: int = 0
    counts: dict[Reason, int] = field(default_factory=dict)
    names: dict[Reason, list[str]] = field(default_factory=dict)
    converted_to_grey: int = 0
    """Pictures in colour among those read as grey."""
    unlabelled: int = 0
    """Pictures of which the table of labels says nothing."""
    unmatched_rows: int = 0
    """Rows of the table of labels that no picture goes with."""

    @property
    def left_out(self) -> int:
        """FileSource that are no picture of the data set."""
        return sum(self.counts.values())

    def leave_out(self, name: str, reason: Reason) -> None:
        """Count a file."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if self.counts[reason] <= MAX_NAMES:
            self.names.setdefault(reason, []).append(name)

    def lines(self) -> list[str]:
        """The account in a few lines, the reasons always in the same order.

        >>> summary = Summary(read=7)
        >>> summary.leave_out("notes.txt", "not an image")
        >>> summary.lines()
        ['Read 7 pictures; left out 1:', '  1 not an image: notes.txt']
        """
        lines = [f"Read {self.read:,} pictures" + (f"; left out {self.left_out:,}:" if self.left_out else ".")]
        for reason in get_args(Reason):
            if count := self.counts.get(reason, 0):
                more = f" and {count - 3:,} more" if count > 3 else ""
                lines.append(f"  {count:,} {reason}: {', '.join(self.names[reason][:3])}{more}")
        if self.converted_to_grey:
            lines.append(f"  {self.converted_to_grey:,} in colour were turned grey like the rest; --channels 3 keeps colour")
        if self.unlabelled or self.unmatched_rows:
            lines.append(
                f"  labels: {self.unlabelled:,} pictures without a row, {self.unmatched_rows:,} rows without a picture"
            )
        return lines
