"""All readings of a run as a file of JSON, so that tables and picture can be made again without running."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS
from .readings import Reading
from .rounds import Column, Rounds
from .scenes import SCENES


@dataclass
class Record:
    """What was measured, and where: the heading and every table's rounds."""

    heading: str
    tables: list[Rounds] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Save it."""
        about = {"heading": self.heading, "tables": [_plain(rounds) for rounds in self.tables]}
        path.write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Record:
        """One record of several files; a table that is in two of them is taken from the later."""
        headings: dict[str, None] = {}
        tables: dict[tuple[str, int], Rounds] = {}
        for path in paths:
            about = json.loads(path.read_text(encoding="utf-8"))
            headings[about["heading"]] = None
            tables |= {(each["scene"], each["concurrency"]): _rounds(each) for each in about["tables"]}
        return cls("\n".join(headings), list(tables.values()))


def _plain(rounds: Rounds) -> dict[str, Any]:
    columns = [
        {
            "contender": column.contender.name,
            "variant": column.variant,
            "rows": column.rows,
            "out": column.out,
            "failed": column.failed,
            "readings": [asdict(reading) for reading in column.readings],
        }
        for column in rounds.columns
    ]
    counts = {"concurrency": rounds.concurrency, "rows": rounds.rows, "repeats": rounds.repeats}
    return {"scene": rounds.scene.name, **counts, "columns": columns}


def _rounds(plain: dict[str, Any]) -> Rounds:
    columns = [_column(**each) for each in plain.pop("columns")]
    return Rounds(scene=SCENES[plain.pop("scene")], columns=columns, **plain)


def _column(contender: str, readings: list[dict[str, Any]], **fields: Any) -> Column:
    return Column(CONTENDERS[contender], readings=[Reading.of(each) for each in readings], **fields)
