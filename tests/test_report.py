"""A result at a glance: `summary`, `plot`, `report`, and the file that keeps it."""

from __future__ import annotations

import datetime
import importlib.util
import re
import resource as limits
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pandas.testing import assert_frame_equal

import harvest
from harvest import Outcome, frames
from harvest.errors import ErrorKind, UsageError
from harvest.results import plots
from harvest.timeline import Timeline
from tests.server import Server


def fetch(data: Any, *args: Any, **options: Any) -> pd.DataFrame:
    return harvest.fetch_frame(data, *args, progress=False, **{"retry": 1, **options})


def result(*rows: dict[str, Any], prefix: str = "", **columns: Any) -> pd.DataFrame:
    """A result that no harvest of this process made, of rows with these fields."""
    outcomes = [Outcome(at, **{"ok": "error" not in row, "status_code": 200, **row}) for at, row in enumerate(rows)]
    return frames.attach(pd.DataFrame(columns, index=range(len(rows))), [frames.batch(outcomes)], {}, prefix)


def many(rows: int, hosts: int, kinds: int) -> pd.DataFrame:
    """A large result with so many hosts and kinds of errors."""
    errors = [None, *[kind for kind in ErrorKind if kind is not ErrorKind.INVALID_REQUEST]][:kinds]
    random = np.random.default_rng(5)
    return result(
        *(
            {"elapsed": float(random.lognormal(-2)), "fetched_at": 1e9 + at / 50} | ({"error": error} if error else {})
            for at in range(rows)
            for error in [errors[at % kinds]]
        ),
        url=[f"https://api-{at % hosts}.example.com/{at}" for at in range(rows)],
    )


def counts(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {key: int(rows) for key, rows in frame.harvest.summary()["rows"].items()}


# -- summary


def test_a_summary_counted_by_hand() -> None:
    """Rows, quantiles of the seconds, bytes of the bodies, retries and the mean of the waiting, by host and outcome."""
    frame = result(
        {"elapsed": 1.0, "text": "Grüße", "attempts": 1, "waited": 0.5},
        {"elapsed": 3.0, "content": b"\0" * 10, "attempts": 4, "waited": 1.5},
        {"error": ErrorKind.HTTP, "status_code": 404, "elapsed": 0.5, "text": "no", "attempts": 1},
        {"error": ErrorKind.TIMEOUT, "status_code": None, "elapsed": 5.0, "attempts": 2},
        {"error": ErrorKind.INVALID_REQUEST, "status_code": None, "attempts": 0},
        url=["http://a.test/1", "http://a.test/2", "http://a.test/3", "http://b.test/", "http://a.test:x/"],
    )
    found = frame.harvest.summary()
    assert found.index.tolist() == [
        ("a.test", "ok"), ("a.test", "http 404"), ("b.test", "timeout"), ("–", "invalid_request"),
    ]  # fmt: skip
    assert found["rows"].tolist() == [2, 1, 1, 1]
    assert found.loc[("a.test", "ok"), ["p50", "p90", "p99"]].round(9).tolist() == [2.0, 2.8, 2.98]
    assert found["bytes"].tolist() == [7 + 10, 2, 0, 0]
    assert found["retries"].tolist() == [3, 0, 1, 0]
    assert found["waited"].tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.example.com/a?b=c", "api.example.com"),
        ("HTTPS://API.Example.com", "api.example.com"),
        ("https://api.example.com:443/", "api.example.com"),
        ("https://api.example.com:8443/", "api.example.com:8443"),
        ("https://user:p@ss@api.example.com#x", "api.example.com"),
        (" http://[2001:DB8::1]:80/x ", "[2001:db8::1]"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("ftp://x/", "–"),
        ("", "–"),
        (None, "–"),
        (5, "–"),
    ],
)
def test_hosts_of_addresses(address: Any, host: str) -> None:
    """As they are asked: without user and usual port, in lower case."""
    assert list(counts(result({}, url=[address]))) == [(host, "ok")]


def test_hosts_of_templates(server: Server) -> None:
    """The host of a template is that of its text, or of each row's cell; nothing secret gets into it."""
    port = server.url("").rpartition(":")[2].strip("/")
    table = pd.DataFrame({"h": ["127.0.0.1", "localhost", None], "user": "a@b", "word": "p/w#?", "url": "x"})
    fixed = fetch(table, server.url("/status/{h}").replace("/status/", "/json?h="))
    assert counts(fixed) == {(f"127.0.0.1:{port}", "ok"): 2, ("–", "invalid_request"): 1}
    each = fetch(table, f"http://{{user}}:{{word}}@{{h}}:{port}/json")
    assert counts(each) == {
        (f"127.0.0.1:{port}", "ok"): 1, (f"localhost:{port}", "ok"): 1, ("–", "invalid_request"): 1,
    }  # fmt: skip


def test_a_redirect_counts_where_it_was_asked(server: Server) -> None:
    """The host that was asked is meant, not the one that answered."""
    elsewhere = quote(server.url("/json").replace("127.0.0.1", "localhost"), "")
    frame = fetch([server.url(f"/redirect-to?url={elsewhere}")], block_private=False)
    assert "localhost" in frame["response_url"][0]
    ((host, outcome),) = counts(frame)
    assert (host.partition(":")[0], outcome) == ("127.0.0.1", "ok")


def test_a_forgotten_harvest(server: Server, tmp_path: Path) -> None:
    """Of a frame out of a file or a store all is counted; without a column of URLs, what answered tells the host."""
    table = pd.DataFrame({"i": [1, 2, None]})
    frame = fetch(table, server.url("/json?i={i}"), store=tmp_path / "store")
    expected = counts(frame)
    frame.attrs = {}
    frame.to_parquet(tmp_path / "x.parquet")
    for other in (frame, pd.read_parquet(tmp_path / "x.parquet"), harvest.read(tmp_path / "store")):
        assert counts(other) == expected
        assert other.harvest.summary()["bytes"].tolist() == [frame["text"].str.len().sum(), 0]
        assert len(other.harvest.plot().axes) == 3


@pytest.mark.parametrize("text", ["Grüße", "5", None])
def test_a_frame_out_of_a_csv_file(text: str | None, tmp_path: Path) -> None:
    """Moments are texts there, bodies perhaps numbers: it is counted and drawn as it was."""
    rows = [{"fetched_at": 1e9 + at / 2, "elapsed": 0.1, "attempts": 1, "text": text} for at in range(3)]
    made = result(*rows, url=["http://a.test/"] * 3)
    made.to_csv(tmp_path / "x.csv", index=False)
    frame = pd.read_csv(tmp_path / "x.csv")
    assert_frame_equal(frame.harvest.summary(), made.harvest.summary())
    drawn, expected = (each.harvest.plot().axes[2].patches[0].get_data().values for each in (frame, made))
    assert drawn.tolist() == expected.tolist()


def test_a_report_of_a_csv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says when the rows were fetched."""
    result({"fetched_at": 1e9}, {"fetched_at": 1e9 + 1.5}).to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setattr(plots, "svg", lambda *_: "")
    pd.read_csv(tmp_path / "x.csv").harvest.report(tmp_path / "x.html")
    assert "fetched 2001-09-09 01:46:40 to 2001-09-09 01:46:41 UTC" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(lambda: result(), id="empty"),
        pytest.param(lambda: fetch([]), id="nothing fetched"),
        pytest.param(lambda: fetch([None, ""]), id="all invalid"),
        pytest.param(
            lambda: result({"error": ErrorKind.DNS, "status_code": None}, url=["http://a.test/"]), id="failed"
        ),
        pytest.param(lambda: result({"elapsed": 0.0, "fetched_at": 0.0}), id="no time at all"),
        pytest.param(lambda: result({"elapsed": 1e-9}, {"elapsed": 1e5}), id="far apart"),
        pytest.param(lambda: result({"elapsed": 0.25, "fetched_at": 1.0}), id="one"),
        pytest.param(lambda: result({}, {}).set_axis(["a", "a"]), id="duplicate index"),
        pytest.param(lambda: result({}, {}).set_axis(pd.MultiIndex.from_tuples([("a", 1)] * 2)), id="levels"),
        pytest.param(lambda: result({}).drop(columns=["text", "content", "headers"]), id="no bodies"),
        pytest.param(lambda: result({"text": "x"}, {}).astype(object), id="objects"),
        pytest.param(lambda: result({}, {"error": ErrorKind.TLS}, prefix="r_"), id="prefix"),
        pytest.param(lambda: result({}).assign(a=1).pipe(lambda f: pd.concat([f, f[["a"]]], axis=1)), id="same names"),
        pytest.param(lambda: many(300, 30, 12), id="many hosts and kinds"),
        pytest.param(lambda: result({}, url=["http://" + ".".join(["long" * 10] * 5) + "/"]), id="long host"),
        pytest.param(lambda: result({}, {}, url=["http://例え.test/", "http://a$b$c.test/"]), id="odd hosts"),
    ],
)
def test_any_frame(frame: Any, tmp_path: Path) -> None:
    """Every result can be counted, drawn, reported and written, without a warning, and no row is left out."""
    made = frame()
    before = made.copy(deep=True)
    summary = made.harvest.summary()
    assert summary["rows"].sum() == len(made)
    assert summary.columns.tolist() == ["rows", "p50", "p90", "p99", "bytes", "retries", "waited"]
    made.harvest.report(tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert f"<h1>{len(made):,} rows: " in page
    assert "<svg" in page
    assert len(made.harvest.errors) == (~made.filter(regex="^(r_)?ok$").iloc[:, 0].astype(bool)).sum()
    assert_frame_equal(made, before)


# -- plot


def test_a_plot() -> None:
    """A figure with three pictures that shows itself as a PNG, and of which pyplot knows nothing."""
    open_before = plt.get_fignums()
    figure = many(50, 3, 4).harvest.plot()
    assert [axes.get_title("left") for axes in figure.axes] == [
        "outcomes by host", "seconds of the last attempt", "rows per second",
    ]  # fmt: skip
    assert figure._repr_png_().startswith(b"\x89PNG\r\n")
    assert plt.get_fignums() == open_before


def test_a_plot_of_many_hosts() -> None:
    """Twelve bars: the hosts with the most rows, and the others as one; they add up to all rows."""
    left = many(300, 30, 12).harvest.plot().axes[0]
    labels = [tick.get_text() for tick in left.get_yticklabels()]
    assert len(labels) == 12
    assert labels[0] == "19 others"
    assert sum(bar.get_width() for bar in left.patches) == 300
    legend = left.get_legend()
    assert legend is not None
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(shown) == 7
    assert shown[0] == "ok: 25"
    assert shown[-1].startswith("other: ")
    assert sum(int(text.rpartition(" ")[2]) for text in shown) == 300


def test_requests_over_time(server: Server) -> None:
    """While the harvest is remembered, every request counts, retries and refusals too; else the rows."""
    frame = fetch([server.url(f"/limited/{n}?n=1") for n in range(3)], retry=harvest.Retry(attempts=3, base=0.001))
    assert frame["ok"].all()
    right = frame.harvest.plot().axes[2]
    assert right.get_title("left") == "requests per second"
    ended, refused = (patch.get_data() for patch in right.patches)
    assert round((ended.values * np.diff(ended.edges)).sum()) == 6
    assert round((refused.values * np.diff(refused.edges)).sum()) == 3
    frame.attrs = {}
    right = frame.harvest.plot().axes[2]
    assert right.get_title("left") == "rows per second"
    (rows,) = (patch.get_data() for patch in right.patches)
    assert round((rows.values * np.diff(rows.edges)).sum()) == 3


def test_a_part_of_a_frame_over_time(server: Server, tmp_path: Path) -> None:
    """The title says that the requests are those of the whole harvest, where the rows tell of fewer."""
    frame = fetch([server.url(f"/json?i={n}") for n in (1, 1, 2, 3)])
    whole, part = "requests per second", "requests per second of the whole harvest"
    for some, title in ((frame, whole), (frame[1:], whole), (frame[2:], part), (frame[~frame["ok"]], part)):
        assert some.harvest.plot().axes[2].get_title("left") == title
    frame[2:].harvest.report(tmp_path / "x.html")
    assert part in (tmp_path / "x.html").read_text()


def test_a_long_run_over_time() -> None:
    """Slices are joined until they can be told apart; their areas still add up to all requests."""
    timeline = Timeline()
    for second in range(4_000):
        timeline.add(429 if second % 4 == 0 else 200, second / 100)
    ended, refused = (patch.get_data() for patch in plots.draw(result({}), "", "url", timeline).axes[2].patches)
    assert len(ended.values) <= 80
    assert round((ended.values * np.diff(ended.edges)).sum()) == 4_000
    assert round((refused.values * np.diff(refused.edges)).sum()) == 1_000
    assert 39 < ended.edges[-1] < 41


def boxes(figure: Any) -> list[Any]:
    """The room that each picture takes with its labels and its legend."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]


@pytest.mark.parametrize("hosts", [1, 30])
def test_pictures_do_not_overlap(hosts: int) -> None:
    """However long the names: each picture has its place, no legend covers it, nothing is cut off."""
    frame = many(240, hosts, 12).assign(url=lambda made: made["url"].str.replace("api", "a-very-long-name" * 3))
    figure = frame.harvest.plot()
    left, middle, right = boxes(figure)
    assert left.x1 <= middle.x0
    assert middle.x1 <= right.x0
    assert min(left.x0, left.y0) >= 0
    assert right.x1 <= figure.bbox.width
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is None or legend.get_window_extent().y1 <= axes.get_window_extent().y0


# -- report


class Page(HTMLParser):
    """A page taken apart; `open` are the elements that were not closed."""

    _EMPTY = frozenset({"meta", "br", "hr", "img", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self._EMPTY:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "td" in self.open[-1:]:
            self.cells[-1] += data


def reported(frame: pd.DataFrame, path: Path) -> tuple[str, Page]:
    frame.harvest.report(path / "report.html")
    text = (path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_a_report(server: Server, tmp_path: Path) -> None:
    """One well-formed page with counts, picture, hosts, remedies and the failed rows; it loads nothing."""
    frame = fetch([server.url("/json"), server.url("/status/404"), None], store=tmp_path / "s")
    text, page = reported(frame, tmp_path)
    assert (page.open, page.wrong) == ([], [])
    for _, attributes in page.seen:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", text)
    assert "<svg" in text
    assert "<h1>3 rows: 1 ok, 2 failed</h1>" in text
    assert {"http 404", "404 Not Found", server.url("/status/404"), "invalid_request"} <= set(page.cells)
    assert set(frame.harvest.errors["next_step"]) <= set(page.cells)


def test_a_report_escapes(tmp_path: Path) -> None:
    """Whatever stands in labels, addresses and details is text and no markup."""
    evil = "<script>alert('&')</script>"
    frame = result(
        {"error": ErrorKind.PARSE, "error_detail": evil},
        {"error": ErrorKind.HTTP, "status_code": 500, "error_detail": "</table></body>"},
        url=[f"http://a.test/{evil}", f"http://{evil}/"],
    ).set_axis(pd.Index([evil, "</td><td>"], name="<b>name</b>"))
    text, page = reported(frame, tmp_path)
    assert (page.open, page.wrong) == ([], [])
    assert "<script" not in text
    assert "<b>" not in text
    assert evil in page.cells
    assert {evil, f"http://a.test/{evil}", "</td><td>"} <= set(page.cells)


SECRETS = {
    "auth": "tok-auth-1111-aaaa", "header": "tok-head-2222-bbbb", "param": "tok-parm-3333-cccc",
    "word": "tok+user/4444#dddd", "query": "tok-quer-5555-eeee", "path": "tok-path-6666-ffff",
    "own": "tok-own-7777-gggg", "cell": "tok-cell-8888-hhhh", "plain": "plainword",
}  # fmt: skip


def test_no_secret_in_a_report(server: Server, tmp_path: Path) -> None:
    """Not a byte of a token, wherever it was given, even where an exception of the caller's repeats it."""

    def parse(outcome: Outcome) -> None:
        raise ValueError(f"bad: {' '.join(SECRETS.values())} {quote(SECRETS['word'], '')}")

    table = pd.DataFrame(
        {"token": [SECRETS["path"]], "k": [SECRETS["cell"]], "password": [SECRETS["plain"]], "c": [SECRETS["own"]]},
        index=pd.Index([SECRETS["plain"]], name="password"),
    )
    address = server.url("/json?token={q}&customer={{c}}&p={{token}}").format(q=SECRETS["query"])
    options: dict[str, Any] = {
        "auth": SECRETS["auth"],
        "headers": {"X-API-Key": "{k}", "Private-Token": SECRETS["header"]},
        "params": {"api_key": SECRETS["param"]},
        "secret_headers": ["private-token"],
        "secret_params": ["customer"],
        "parse": parse,
    }
    template = fetch(table, address, **options)
    with_user = address.replace("//", f"//user:{quote(SECRETS['word'], '')}@").format(c="1", token="2")
    column = fetch([with_user], **{**options, "headers": {"Private-Token": SECRETS["header"]}})
    for frame, known in ((template, set(SECRETS) - {"word"}), (column, {"auth", "header", "param", "word", "query"})):
        assert frame["error"].tolist() == ["parse"]
        text, page = reported(frame, tmp_path)
        for name in known:
            assert SECRETS[name] not in text, name
            assert quote(SECRETS[name], "") not in text, name
        assert any("***" in cell for cell in page.cells)


def test_words_under_a_secret_name(tmp_path: Path) -> None:
    """Neither in an address, a host or a label, nor where an error names it."""
    table = pd.DataFrame({"token": ["winter"]}, index=pd.Index(["summer"], name="password"))
    for template in ("http://{token}.localhost:1/", "http://127.0.0.1:1/{token}"):
        text, page = reported(fetch(table, template), tmp_path)
        assert "winter" not in text
        assert "summer" not in text
        assert any("***" in cell and "://" in cell for cell in page.cells)


def test_a_short_secret(server: Server, tmp_path: Path) -> None:
    """One that is too short to be looked for in texts is not shown where it stands."""
    table = pd.DataFrame({"token": ["q7z"]})
    text, page = reported(fetch(table, server.url("/status/404?p={token}")), tmp_path)
    assert "q7z" not in "".join(page.cells)
    assert server.url("/status/404?p=***") in text


def test_a_weak_name_hides_no_address(tmp_path: Path) -> None:
    """A column called `key`, which most often is one of another kind, stays readable, as in a store."""
    frame = result({"error": ErrorKind.DNS}, url=["http://a.test/st-0013"], key=["st-0013"])
    _, page = reported(frame.set_index("key", drop=False), tmp_path)
    assert {"st-0013", "http://a.test/st-0013"} <= set(page.cells)


def test_a_report_of_many_failures(tmp_path: Path) -> None:
    """The first 500 are listed, and the heading says so; the counts are of all."""
    rows = [{"error": ErrorKind.TIMEOUT, "status_code": None}] * 1_203
    text, page = reported(result(*rows, url="http://a.test/"), tmp_path)
    assert "<h2>The failed rows (the first 500)</h2>" in text
    assert page.cells.count("http://a.test/") == 500
    assert page.cells.count("1203") + page.cells.count("1,203") == 2


def test_a_report_does_not_heed_the_options_of_pandas(tmp_path: Path) -> None:
    """What somebody set for the terminal cuts nothing off."""
    address = "http://a.test/" + "long/" * 30
    frame = result(*[{"error": ErrorKind.DNS}] * 20, url=address)
    with pd.option_context("display.max_colwidth", 10, "display.max_rows", 3, "display.max_columns", 2):
        _, page = reported(frame, tmp_path)
    assert page.cells.count(address) == 20


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page has no picture, and a plot says what to install."""
    monkeypatch.setattr(
        plots, "find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    frame = result({}, {"error": ErrorKind.DNS})
    text, page = reported(frame, tmp_path)
    assert "<svg" not in text
    assert (page.open, page.wrong) == ([], [])
    with pytest.raises(UsageError, match=r"pip install matplotlib$"):
        frame.harvest.plot()


# -- files

WRITERS = [pytest.param("report", id="report"), pytest.param("to_parquet", id="to_parquet")]


@pytest.mark.parametrize("writer", WRITERS)
def test_where_no_file_can_be(writer: str, tmp_path: Path) -> None:
    """A folder that is missing, or one in the place of the file: told, with the next step."""
    write = getattr(result({}).harvest, writer)
    for path in (tmp_path / "no" / "x", tmp_path, str(tmp_path / "no/x")):
        with pytest.raises(UsageError, match=r"cannot be written; name a file in a folder that exists$"):
            write(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_a_failed_write_leaves_the_old_file(writer: str, tmp_path: Path) -> None:
    """Where the disk is full the file of before is as it was, nothing lies about, and the message helps."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    made = many(300, 3, 3)
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits.setrlimit(limits.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(UsageError, match=r"cannot be written \(.+\); name another file, or make room$"):
            getattr(made.harvest, writer)(path)
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_is_followed(writer: str, tmp_path: Path) -> None:
    """A name that stands for a file elsewhere goes on standing for it."""
    (tmp_path / "far").write_bytes(b"old")
    (tmp_path / "near").symlink_to(tmp_path / "far")
    getattr(result({}).harvest, writer)(tmp_path / "near")
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "far").stat().st_size > 100


def test_a_broken_column_leaves_the_old_file(tmp_path: Path) -> None:
    """Options that make no sense to pandas raise what they do there, and the file of before stays."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(Exception, match="snippy"):
        result({}).harvest.to_parquet(path, compression="snippy")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "index",
    [None, pd.Index(["a", "a", "b"], name="n"), pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)]),
     pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-05"], tz="UTC", name="day")],
    ids=lambda index: type(index).__name__,
)  # fmt: skip
def test_a_parquet_round_trip(server: Server, tmp_path: Path, index: Any) -> None:
    """pandas reads the very same frame back, columns, dtypes and index; a harvest of before is no matter."""
    table = pd.DataFrame(
        {"url": [server.url("/json?i=1"), server.url("/bytes"), None], "n": pd.array([1, None, 3], "Int8")}
    )
    frame = fetch(table if index is None else table.set_axis(index), select={"i": "i"})
    frame.harvest.to_parquet(tmp_path / "x.parquet")
    back = pd.read_parquet(tmp_path / "x.parquet")
    assert_frame_equal(back, frame, check_freq=False)
    assert counts(back) == counts(frame)
    assert_frame_equal(back.harvest.errors, frame.harvest.errors)


@pytest.mark.parametrize(
    ("cells", "stored"),
    [
        ([1, "a"], ["1", "a"]),
        ([{"a": 1}, {}], ['{"a":1}', "{}"]),
        ([{}, {}], ["{}", "{}"]),
        ([[1], None], ["[1]", None]),
        ([[{}], [{"a": {}}]], ["[{}]", '[{"a":{}}]']),
        ([2**63, 1], [str(2**63), "1"]),
        ([2**64, 1], [str(2**64), "1"]),
        ([2**100, None], [str(2**100), None]),
        ([ValueError("no"), None], ["no", None]),
        ([b"x", "x"], ["b'x'", "x"]),
        ([np.float64(1.5), np.int64(2)], ["1.5", "2"]),
        ([datetime.date(2024, 1, 1), "x"], ["2024-01-01", "x"]),
        (pd.PeriodIndex(["2024-01", None], freq="M"), [pd.Period("2024-01"), None]),
        (pd.arrays.IntervalArray.from_tuples([(0, 1), None]), [pd.Interval(0, 1), None]),
        (pd.array([1 + 2j, 0], "complex128"), ["(1+2j)", "0j"]),
        (pd.Categorical(["a", None]), ["a", None]),
        ([pd.NA, pd.NaT], [None, None]),
    ],
    ids=lambda value: repr(value)[:30].replace("\n", " "),
)
def test_any_cells_in_a_file(cells: Any, stored: list[Any], tmp_path: Path) -> None:
    """What no column of a file can hold becomes JSON text; nothing is refused, and missing stays missing."""
    frame = result({}, {}).assign(mine=pd.Series(cells, dtype=object if isinstance(cells, list) else None))
    frame.harvest.to_parquet(tmp_path / "x")
    back = pd.read_parquet(tmp_path / "x")["mine"]
    assert [None if missing else cell for cell, missing in zip(back, back.isna(), strict=True)] == stored


def test_odd_names_and_labels_in_a_file(tmp_path: Path) -> None:
    """Names become texts, and so do labels of an index of many types; names that are then the same are refused."""
    frame = result({}, {}).assign(a=1).rename(columns={"a": 5}).set_axis([1, "x"])
    frame.harvest.to_parquet(tmp_path / "x")
    back = pd.read_parquet(tmp_path / "x")
    assert back["5"].tolist() == [1, 1]
    assert back.index.tolist() == ["1", "x"]
    frame["5"] = 2
    with pytest.raises(UsageError, match=r"\['5'\]; rename all but one$"):
        frame.harvest.to_parquet(tmp_path / "x")


def test_options_of_to_parquet(tmp_path: Path) -> None:
    """They are pandas' own."""
    frame = many(300, 3, 3)
    frame.harvest.to_parquet(tmp_path / "none", compression=None)
    frame.harvest.to_parquet(tmp_path / "zstd", compression="zstd", index=False)
    assert (tmp_path / "zstd").stat().st_size < (tmp_path / "none").stat().st_size


def test_notes_of_the_callers_are_no_obstacle(tmp_path: Path) -> None:
    """What pandas keeps in `attrs` and cannot write stays behind, without a warning; the rest is in the file."""
    frame = result({})
    frame.attrs |= {"fine": [1, None], "object": object(), "set": {1}, 5: "five", "day": datetime.date(2024, 1, 1)}
    before = dict(frame.attrs)
    frame.harvest.to_parquet(tmp_path / "x")
    back = pd.read_parquet(tmp_path / "x")
    assert back.attrs["fine"] == [1, None]
    assert not {"object", "set", "day"} & set(back.attrs)
    assert frame.attrs == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A partitioned folder is not what this writes; the message says what does, and nothing is left there."""
    with pytest.raises(UsageError, match=r"; use frame.to_parquet\(…\) for a partitioned folder$"):
        result({}).harvest.to_parquet(tmp_path / "x", partition_cols=["ok"])
    assert list(tmp_path.iterdir()) == []


def test_another_process_reads_the_file(server: Server, tmp_path: Path) -> None:
    """There, too, its accessor counts it, though nothing is known of the harvest."""
    fetch([server.url("/json"), server.url("/status/404")]).harvest.to_parquet(tmp_path / "x")
    code = f"import harvest, pandas as pd; print(*pd.read_parquet({str(tmp_path / 'x')!r}).harvest.summary()['rows'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "1 1\n"
