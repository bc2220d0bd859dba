"""A summary of reading a source: how many pictures were read, and which files were left out and why."""

from dataclasses import dataclass, field
from typing import get_args

from core.data.pictures import Reason

MAX_NAMES = 1000
"""At most this many names of left-out files are stored for each reason; all are counted."""


@dataclass
class Summary:
    """How many pictures were read, and the number and names of files left out for each reason."""

    read: int = 0
    counts: dict[Reason, int] = field(default_factory=dict)
    names: dict[Reason, list[str]] = field(default_factory=dict)
    converted_to_grey: int = 0
    """Colour pictures that were read as grey."""
    unlabelled: int = 0
    """Pictures without a row in the label table."""
    unmatched_rows: int = 0
    """Rows of the label table without a picture."""

    @property
    def left_out(self) -> int:
        """The number of files left out."""
        return sum(self.counts.values())

    def leave_out(self, name: str, reason: Reason) -> None:
        """Count a file that is left out."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if self.counts[reason] <= MAX_NAMES:
            self.names.setdefault(reason, []).append(name)

    def lines(self) -> list[str]:
        """The summary as a few lines of text, the reasons in a fixed order.

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
            lines.append(f"  {self.converted_to_grey:,} colour pictures were converted to grey; --channels 3 keeps colour")
        if self.unlabelled or self.unmatched_rows:
            lines.append(
                f"  labels: {self.unlabelled:,} pictures without a row, {self.unmatched_rows:,} rows without a picture"
            )
        return lines
