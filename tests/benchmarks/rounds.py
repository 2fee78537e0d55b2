"""The rounds of one scene at one concurrency, and the figures that are taken within a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .readings import Reading

if TYPE_CHECKING:
    from .contenders import Contender
    from .scene import Scene


@dataclass
class Column:
    """What one contender did in each round, or why it is out."""

    contender: Contender
    rows: int
    variant: str = ""
    out: str = ""
    failed: bool = False
    readings: list[Reading] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The contender's, with the variant's."""
        return f"{self.contender.name}, {self.variant}" if self.variant else self.contender.name

    @property
    def ran(self) -> bool:
        """Whether there is something to show."""
        return not self.out and bool(self.readings)

    @property
    def rates(self) -> list[float]:
        """Requests a second, round by round."""
        return [reading.rate for reading in self.readings]

    def refuse(self, reason: str) -> None:
        """Out for the rest, and its figures with it."""
        self.out, self.failed = f"refused: {reason}", True
        self.readings.clear()


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Everything that one table shows."""

    scene: Scene
    concurrency: int
    rows: int
    repeats: int
    columns: list[Column]

    @property
    def failed(self) -> bool:
        """Whether a contender was refused. One that is not installed is no failure."""
        return any(column.failed for column in self.columns)

    @property
    def hero(self) -> str:
        """The one that the others are compared with."""
        return self.scene.contenders[0]

    def column(self, name: str) -> Column | None:
        """The column of this name, if it ran."""
        return next((column for column in self.columns if column.name == name and column.ran), None)

    def readings(self, name: str) -> list[Reading]:
        """The readings of this column, round by round; none if it did not run."""
        column = self.column(name)
        return column.readings if column else []

    def ratios(self, name: str, *others: str) -> list[float]:
        """This one's rate over that of the fastest of the others, round by round; empty if it cannot be told."""
        rivals = [column.rates for other in others if (column := self.column(other))]
        ours = self.column(name)
        if ours is None or not rivals:
            return []
        return [rate / max(best) for rate, *best in zip(ours.rates, *rivals, strict=True)]

    def of_ideal(self, name: str) -> list[float]:
        """This one's rate over the best there could be, round by round."""
        column = self.column(name)
        if column is None or self.scene.ideal is None:
            return []
        ideal = self.scene.ideal(column.rows, self.concurrency)
        return [rate / ideal for rate in column.rates]

    def of_bodies(self, name: str) -> list[float]:
        """This one's peak of memory above the start, over the bytes of all bodies, round by round."""
        known = ((reading.above_start_mb, reading.rows) for reading in self.readings(name))
        return [mb * 2**20 / len(self.scene.body) / rows for mb, rows in known if mb is not None]

    def beyond(self, name: str, other: str) -> list[float]:
        """How many seconds longer this one took, round by round."""
        ours, theirs = self.readings(name), self.readings(other)
        return [first.seconds - second.seconds for first, second in zip(ours, theirs, strict=False)]
