"""What is to be reached, and whether it was: judged round by round, reached if the median is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from .rounds import Rounds
from .tally import Tally

Series = Callable[[Rounds], list[float]]
"""A figure for each round; empty where it cannot be told."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound, for every concurrency or for some, and the figures that it is held against.

    `show` writes a figure, `unit` what it counts. `most` makes the bound an upper one. `names` are those whom it takes
    to judge.
    """

    words: str
    series: Series
    bound: float | Mapping[int, float]
    show: str = "{:.2f}"
    unit: str = ""
    most: bool = False
    names: tuple[str, ...] = ()

    def at(self, concurrency: int) -> float | None:
        """The bound at this concurrency, if there is one."""
        return self.bound.get(concurrency) if isinstance(self.bound, Mapping) else self.bound

    def judged(self, rounds: Rounds) -> str:
        """The bound and what was reached, in a line; empty where there is no bound."""
        bound = self.at(rounds.concurrency)
        if bound is None:
            return ""
        limit = f"{'≤' if self.most else '≥'} {self.show.format(bound)}{self.unit}"
        line = f"target: {limit} {self.words}{self._without(rounds)}"
        figures = self.series(rounds)
        if not figures:
            return f"{line}: not judged"
        middle, *ends = (self.show.format(pick(figures)) for pick in (median, min, max))
        return (
            f"{line}: {middle}{self.unit} ({'–'.join(ends)}), {'reached' if self.reached(figures, bound) else 'missed'}"
        )

    def reached(self, figures: list[float], bound: float) -> bool:
        """Whether the median is on the right side."""
        return median(figures) <= bound if self.most else median(figures) >= bound

    def _without(self, rounds: Rounds) -> str:
        absent = [name for name in self.names if rounds.column(name) is None]
        return f" (without {', '.join(absent)})" if absent else ""


def faster(than: tuple[str, ...], bound: float | Mapping[int, float]) -> Target:
    """So many times as fast as the fastest of these."""
    words = f"× the fastest of {', '.join(than)}" if len(than) > 1 else f"× {than[0]}"
    return Target(words=words, series=lambda rounds: rounds.ratios(rounds.hero, *than), bound=bound, names=than)


def near_ideal(bound: float | Mapping[int, float], ideal: str) -> Target:
    """So much of the best there could be."""
    return Target(words=f"of {ideal}", series=lambda rounds: rounds.of_ideal(rounds.hero), bound=bound, show="{:.0%}")


def keeps_up(name: str, than: str, bound: float) -> Target:
    """So many times as fast, for one who is not the first."""
    return Target(
        words=f"× {than}: {name}", series=lambda rounds: rounds.ratios(name, than), bound=bound, names=(name, than)
    )


def as_fast_as(variant: str, bound: float) -> Target:
    """So many times its own rate in another variant."""
    return Target(
        words=f"× the figure with {variant}",
        series=lambda rounds: rounds.ratios(rounds.hero, f"{rounds.hero}, {variant}"),
        bound=bound,
    )


def held(bound: float) -> Target:
    """At most so many times the bodies in memory."""
    return Target(
        words="× the bodies in memory, at the peak",
        series=lambda rounds: rounds.of_bodies(rounds.hero),
        bound=bound,
        most=True,
    )


def grown(bound: float) -> Target:
    """At most so many megabytes above the import."""
    return Target(
        words="above import, at the peak", series=_above_start, bound=bound, show="{:.0f}", unit=" MB", most=True
    )


def level(bound: float) -> Target:
    """At most so many megabytes more at the peak of the second half than from a tenth of the rows to the half."""
    return Target(
        words="more in the second half of the rows than before, at the peak",
        series=_risen,
        bound=bound,
        show="{:.0f}",
        unit=" MB",
        most=True,
    )


def done_within(bound: float) -> Target:
    """At most so many milliseconds for all rows."""
    return Target(
        words="for all rows",
        series=lambda rounds: [1000 * reading.seconds for reading in rounds.readings(rounds.hero)],
        bound=bound,
        show="{:,.0f}",
        unit=" ms",
        most=True,
    )


def cheap(name: str, bound: float) -> Target:
    """At most so much processor time a call."""
    return Target(
        words=f"a call: {name}",
        series=lambda rounds: [reading.cpu_each for reading in rounds.readings(name)],
        bound=bound,
        show="{:.1f}",
        unit=" µs",
        most=True,
    )


def beyond(other: str, bound: float) -> Target:
    """At most so many milliseconds longer."""
    return Target(
        words=f"beyond {other}",
        series=lambda rounds: [1000 * seconds for seconds in rounds.beyond(rounds.hero, other)],
        bound=bound,
        show="{:.0f}",
        unit=" ms",
        most=True,
    )


def used(bound: float) -> Target:
    """At least so much of the quota."""
    return Target(
        words="of the quota used",
        series=lambda rounds: [tally.used for tally in _tallies(rounds)],
        bound=bound,
        show="{:.1%}",
    )


def refused(bound: float) -> Target:
    """At most so many of the requests."""
    return Target(
        words="of the requests refused",
        series=lambda rounds: [tally.refused for tally in _tallies(rounds)],
        bound=bound,
        show="{:.1%}",
        most=True,
    )


def lossless() -> Target:
    """No row without a good answer, in any round."""
    return Target(
        words="rows failed in the worst round",
        series=_most_failed,
        bound=0,
        show="{:.0f}",
        most=True,
    )


def _most_failed(rounds: Rounds) -> list[float]:
    failed = [reading.failed for reading in rounds.readings(rounds.hero)]
    return [max(failed)] if failed else []


def _tallies(rounds: Rounds) -> list[Tally]:
    return [reading.tally for reading in rounds.readings(rounds.hero) if reading.tally]


def _above_start(rounds: Rounds) -> list[float]:
    known = (reading.above_start_mb for reading in rounds.readings(rounds.hero))
    return [mb for mb in known if mb is not None]


def _risen(rounds: Rounds) -> list[float]:
    halves = ((each.most_between(0.1, 0.5), each.most_between(0.5, 1)) for each in rounds.readings(rounds.hero))
    return [later - sooner for sooner, later in halves if sooner is not None and later is not None]
