"""A small table that is only looked at: aligned text, or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Table(NamedTuple):
    """Lines under names; `more` counts those that are left out."""

    names: Sequence[str]
    lines: Sequence[Sequence[str]]
    more: int = 0

    @property
    def text(self) -> str:
        """Columns of figures to the right, others to the left; empty without a line."""
        if not self.lines:
            return ""
        columns = [
            _padded(name, cells, to_the_right=bool(at) and all(cell[:1].isdigit() for cell in cells if cell))
            for at, (name, *cells) in enumerate(zip(self.names, *self.lines, strict=True))
        ]
        return "\n".join(["  ".join(line).rstrip() for line in zip(*columns, strict=True)] + self._rest)

    @property
    def html(self) -> str:
        """A table as notebooks style it; empty without a line."""
        if not self.lines:
            return ""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.names)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in self.lines)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{''.join(self._rest)}"

    @property
    def _rest(self) -> list[str]:
        return [f"… and {self.more:,} more"] if self.more > 0 else []


def _padded(name: str, cells: Sequence[str], *, to_the_right: bool) -> list[str]:
    whole = [name, *cells]
    width = max(map(len, whole))
    return [cell.rjust(width) if to_the_right else cell.ljust(width) for cell in whole]
