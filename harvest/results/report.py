"""A result as one HTML page that needs nothing else: for whoever has a browser and no Python."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from os import PathLike
from typing import Any
from urllib.parse import quote

import pandas as pd

from harvest._version import __version__
from harvest.errors import ErrorKind
from harvest.masks import MASK
from harvest.memory import Origin
from harvest.options import Options
from harvest.orders import base_headers
from harvest.results import plots, summaries
from harvest.results.files import aside
from harvest.results.remedies import remedy
from harvest.store import secrets
from harvest.store.secrets import Secrets, cell
from harvest.templates import missing
from harvest.urls import normalise

_ROWS = 500
"""Failed rows that are listed."""
_WIDE = 300
"""Characters of a cell."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.when { color: #666; margin-top: .2rem }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; margin-bottom: 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd }
td { max-width: 32rem; overflow-wrap: anywhere; font-variant-numeric: tabular-nums } th { font-weight: 600 }
svg { max-width: 100%; height: auto }
"""


def masked(frame: pd.DataFrame, hidden: Collection[str]) -> pd.DataFrame:
    """The frame without the cells of the caller's columns that are secret, or `hidden`."""
    return frame.assign(**dict.fromkeys(secrets.covered(frame.columns, hidden), MASK))


def write(frame: pd.DataFrame, prefix: str, url: str, origin: Origin, path: str | PathLike[str]) -> None:
    """See `HarvestAccessor.report`."""
    options = Options.of(origin.options)
    hidden = secrets.columns(options, url)
    chart = plots.svg(masked(frame, hidden), prefix, url, origin.timeline)
    with aside(path) as new:
        found = secrets.Secrets(options, base_headers(options))
        new.write_text(page(frame, prefix, url, chart, found, hidden), encoding="utf-8")


def page(frame: pd.DataFrame, prefix: str, url: str, chart: str, found: Secrets, hidden: frozenset[str]) -> str:
    """The page.

    Parameters
    ----------
    chart : str
        The plot as SVG; empty if there is none.
    found : Secrets
        Finds what must not be shown.
    hidden : frozenset of str
        Columns of the caller's that fill secret places.
    """
    ok = frame[prefix + "ok"].to_numpy(bool)
    failed = frame.loc[~ok]
    head = f"{len(frame):,} rows: {ok.sum():,} ok, {len(failed):,} failed"
    parts = [
        f"<h1>{head}</h1>",
        f'<p class="when">{escape(_when(frame, prefix))}</p>',
        chart,
        "<h2>By host and outcome</h2>",
        _table(_shown(summaries.summary(masked(frame, hidden), prefix, url).reset_index())),
    ]
    if len(failed):
        parts += ["<h2>What failed, and what to do</h2>", _table(_kinds(failed, prefix))]
        more = f" (the first {_ROWS:,})" if len(failed) > _ROWS else ""
        rows = _failures(failed.iloc[:_ROWS], prefix, url, found, hidden)
        parts += [f"<h2>The failed rows{more}</h2>", _table(rows)]
    return _whole(head, "\n".join(parts))


def _whole(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f'<body>\n{body}\n<p class="when">written by harvest {__version__}</p>\n</body></html>\n'
    )


def _when(frame: pd.DataFrame, prefix: str) -> str:
    at = summaries.moments(frame, prefix + "fetched_at").dropna()
    if at.empty:
        return "nothing was answered"
    first, last = (moment.strftime("%Y-%m-%d %H:%M:%S") for moment in (at.min(), at.max()))
    return f"fetched {first} to {last} UTC"


def _shown(counted: pd.DataFrame) -> pd.DataFrame:
    """The summary with its figures as people write them."""
    seconds = [*summaries.QUANTILES, "waited"]
    shown = {name: [_spoken(value) for value in counted[name]] for name in seconds}
    whole = {name: [f"{value:,}" for value in counted[name]] for name in ("rows", "bytes", "retries")}
    return counted.assign(**shown, **whole)


def _spoken(seconds: float) -> str:
    if missing(seconds):
        return ""
    if 0 < seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def _kinds(failed: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Each kind of failure with its count and its remedy."""
    counts = summaries.fates(failed, prefix).value_counts()
    return pd.DataFrame({"rows": counts.to_numpy(), "error": counts.index, "what to do": map(_remedy, counts.index)})


def _remedy(fate: str) -> str:
    kind, _, status = fate.partition(" ")
    return remedy(ErrorKind(kind), int(status) if status else None)


def _failures(failed: pd.DataFrame, prefix: str, url: str, found: Secrets, hidden: frozenset[str]) -> pd.DataFrame:
    names = [str(name) for name in failed.index.names if name is not None]
    labels = [MASK if secrets.covered(names, ()) else str(each) for each in failed.index]
    addresses = summaries.addresses(masked(failed, hidden), prefix, url)
    held = found.of_cells([*_told(failed, hidden), *_passwords(addresses), *addresses])
    return pd.DataFrame(
        {
            ", ".join(names) or "row": [cell(each, held) for each in labels],
            "address": ["" if each is None else cell(each.replace(quote(MASK), MASK), held) for each in addresses],
            "error": summaries.fates(failed, prefix).to_numpy(),
            "detail": [cell(str(each), held) for each in failed[prefix + "error_detail"].fillna("")],
        }
    )


def _told(failed: pd.DataFrame, hidden: Collection[str]) -> list[dict[str, Any]]:
    """The cells that are secret, each under a name that says so."""
    return [{"secret": each} for name in secrets.covered(failed.columns, hidden) for each in failed[name].tolist()]


def _passwords(addresses: Sequence[str | None]) -> Iterator[dict[str, str]]:
    """Those within the addresses, as they were meant."""
    for each in addresses:
        try:
            yield {"secret": normalise(each or "")[1].partition(":")[2]}
        except ValueError:
            continue


def _table(rows: pd.DataFrame) -> str:
    return str(rows.map(_cut).to_html(index=False, border=0, escape=True))


def _cut(value: Any) -> Any:
    return value if len(str(value)) <= _WIDE else f"{str(value)[:_WIDE]}…"
