"""The practice service and the command: what the README, the notebooks and the examples stand on."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from harvest import demo
from harvest.demo import TROUBLE, Trouble, weather
from harvest.demo.desk import Desk, latency
from harvest.demo.messages import Request

PLAIN = "st-0001"


@pytest.fixture(scope="module")
def calm() -> Iterator[demo.Api]:
    with demo.serve(calm=True) as api:
        yield api


@pytest.fixture
def troubled() -> Iterator[demo.Api]:
    with demo.serve() as api:
        yield api


def call(
    api: demo.Api, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def get(api: demo.Api, path: str) -> Any:
    status, _, body = call(api, path)
    assert status == 200
    return json.loads(body)


def live(api: demo.Api, path: str) -> ClientConnection:
    return connect(api.url.replace("http", "ws") + path, proxy=None, open_timeout=10)


def stations_in(trouble: Trouble) -> list[str]:
    return [station for station, what in TROUBLE.items() if what is trouble]


def raw(api: demo.Api, sent: bytes) -> bytes:
    host, port = urlsplit(api.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer, peer.makefile("rb") as answer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        return answer.read()


class TestData:
    def test_three_hundred_stations_have_all_that_a_frame_needs(self, calm: demo.Api) -> None:
        """The list goes into a DataFrame as it is."""
        assert len(calm.stations) == len({s["station_id"] for s in calm.stations}) == 300
        for station in calm.stations:
            assert station.keys() == {"station_id", "name", "country", "lat", "lon", "elevation", "url"}
            assert abs(station["lat"]) <= 90
            assert abs(station["lon"]) <= 180

    def test_every_reading_is_plausible(self, calm: demo.Api) -> None:
        """Nobody meets a boiling city in the README."""
        days = weather.readings()
        assert days.keys() == {s["station_id"] for s in calm.stations}
        readings = [reading for day in days.values() for reading in day]
        assert len(readings) == 300 * 24
        assert all(-40 < r["temp"] < 45 and 0 < r["humidity"] <= 100 for r in readings)
        assert all(600 < r["pressure"] < 1050 and 0 <= r["wind_speed"] < 40 for r in readings)

    def test_the_data_set_is_small(self) -> None:
        """The wheel carries it."""
        assert len(weather.data("stations.csv")) + len(weather.data("readings.csv.gz")) < 300_000

    def test_trouble_is_only_for_stations_that_exist(self, calm: demo.Api) -> None:
        """Every kind of trouble is met by a harvest of all stations."""
        assert TROUBLE.keys() < {s["station_id"] for s in calm.stations}
        assert set(TROUBLE.values()) == set(Trouble)


class TestEndpoints:
    def test_index_names_the_endpoints(self, calm: demo.Api) -> None:
        """`/` tells a newcomer what there is."""
        assert get(calm, "/")["endpoints"] == demo.ENDPOINTS

    def test_current_weather_has_the_documented_shape(self, calm: demo.Api) -> None:
        """`main.temp` and `main.humidity` are what the examples select."""
        weather = get(calm, f"/stations/{PLAIN}")
        assert weather.keys() == {"station", "main", "wind", "observed_at"}
        assert weather["main"].keys() == {"temp", "humidity", "pressure"}
        assert weather["station"] == calm.stations[0]

    def test_the_url_of_a_station_is_its_weather(self, calm: demo.Api) -> None:
        """The column `url` can be fetched as it is."""
        with urllib.request.urlopen(calm.stations[4]["url"], timeout=10) as response:
            assert json.load(response)["station"]["station_id"] == "st-0005"

    def test_the_same_question_has_the_same_answer(self, calm: demo.Api) -> None:
        """Outputs in the README stay true."""
        assert call(calm, f"/stations/{PLAIN}") == call(calm, f"/stations/{PLAIN}")

    def test_latency_is_steady_and_between_10_and_80_ms(self) -> None:
        """It looks random and depends on the id alone."""
        waits = [latency(station) for station in weather.stations()]
        assert min(waits) >= 0.010
        assert max(waits) <= 0.080
        assert len(set(waits)) > 40

    def test_readings_are_the_hours_of_a_day(self, calm: demo.Api) -> None:
        """A plain JSON list, oldest first."""
        hours = [reading["observed_at"] for reading in get(calm, f"/stations/{PLAIN}/readings")]
        assert len(hours) == 24
        assert hours == sorted(hours)

    @pytest.mark.parametrize("first", ["/stations?per_page=70", "/stations?cursor=&per_page=70", "/stations?offset=0"])
    def test_following_next_visits_every_station_once(self, calm: demo.Api, first: str) -> None:
        """Pages, cursors and offsets all end, and lose nothing."""
        seen, following = [], calm.url + first
        while following:
            page = get(calm, following.removeprefix(calm.url))
            assert page["total"] == 300
            seen += [station["station_id"] for station in page["stations"]]
            following = page["next"]
        assert seen == [station["station_id"] for station in calm.stations]

    def test_the_link_header_and_the_body_agree(self, calm: demo.Api) -> None:
        """The last page has neither."""
        _, headers, body = call(calm, "/stations?page=2&per_page=100")
        assert headers["link"] == f'<{json.loads(body)["next"]}>; rel="next"'
        _, headers, body = call(calm, "/stations?page=3&per_page=100")
        assert "link" not in headers
        assert json.loads(body)["next"] is None

    def test_next_cursor_continues(self, calm: demo.Api) -> None:
        """For clients that are given the cursor rather than the URL."""
        first = get(calm, "/stations?cursor=&per_page=2")
        second = get(calm, f"/stations?cursor={quote(first['next_cursor'])}&per_page=2")
        assert [s["station_id"] for s in second["stations"]] == ["st-0003", "st-0004"]

    def test_the_next_page_keeps_the_rest_of_the_query(self, calm: demo.Api) -> None:
        """A calm walk stays calm."""
        assert "calm=1" in get(calm, "/stations?calm=1")["next"]

    def test_search_ignores_case_and_accents(self, calm: demo.Api) -> None:
        """By city or by country."""
        assert [s["name"] for s in get(calm, "/search?q=sao%20PAULO")["stations"]] == ["São Paulo"]
        assert get(calm, "/search?q=iceland")["total"] >= 1
        assert get(calm, "/search?q=atlantis")["stations"] == []

    def test_echo_returns_what_was_sent(self, calm: demo.Api) -> None:
        """Any method, query, headers and body."""
        status, _, body = call(calm, "/echo?a=1", "POST", "grüezi".encode(), {"X-Colour": "red"})
        echo = json.loads(body)
        assert status == 200
        assert (echo["method"], echo["query"], echo["body"]) == ("POST", {"a": "1"}, "grüezi")
        assert echo["headers"]["x-colour"] == "red"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/nothing", 404),
            ("/stations/st-9999", 404),
            ("/stations/st-9999/readings", 404),
            ("/events/st-9999", 404),
            ("/live/st-9999", 404),
            ("/live/st-0001", 426),
            ("/search", 400),
            ("/stations?page=0", 400),
            ("/stations?per_page=many", 400),
            ("/stations?per_page=1e9", 400),
            ("/stations?cursor=%C3%A9", 400),
            ("/stations?cursor=abcd", 400),
            ("/events/st-0001?n=nan", 400),
        ],
    )
    def test_mistakes_are_answered_with_a_sentence(self, calm: demo.Api, path: str, status: int) -> None:
        """As JSON, with the right status."""
        got, headers, body = call(calm, path)
        assert (got, headers["content-type"]) == (status, "application/json")
        assert json.loads(body)["detail"]


class TestHttp:
    def test_one_connection_carries_many_requests(self, calm: demo.Api) -> None:
        """Keep-alive, also after an error and after HEAD."""
        connection = http.client.HTTPConnection(urlsplit(calm.url).netloc, timeout=10)
        connection.connect()
        kept = connection.sock
        for method, path in [("GET", "/"), ("HEAD", "/stations"), ("GET", "/nothing"), ("GET", f"/events/{PLAIN}?n=0")]:
            connection.request(method, path)
            connection.getresponse().read()
            assert connection.sock is kept
        connection.close()

    def test_connection_close_is_honoured(self, calm: demo.Api) -> None:
        """The answer says so too."""
        assert call(calm, "/", headers={"Connection": "close"})[1]["connection"] == "close"

    def test_head_is_get_without_the_body(self, calm: demo.Api) -> None:
        """Content-Length included."""
        _, of_get, body = call(calm, f"/stations/{PLAIN}")
        _, of_head, nothing = call(calm, f"/stations/{PLAIN}", "HEAD")
        assert of_head == of_get
        assert nothing == b""
        assert int(of_get["content-length"]) == len(body)

    def test_gzip_comes_to_those_who_accept_it(self, calm: demo.Api) -> None:
        """And to nobody else."""
        path = f"/stations/{PLAIN}/readings"
        _, plain_headers, plain = call(calm, path)
        _, headers, packed = call(calm, path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        assert headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed) == plain
        assert "content-encoding" not in plain_headers
        assert "content-encoding" not in call(calm, path, headers={"Accept-Encoding": "gzip;q=0"})[1]

    def test_other_methods_are_told_what_is_allowed(self, calm: demo.Api) -> None:
        """405 with Allow."""
        status, headers, _ = call(calm, "/stations", "POST", b"{}")
        assert (status, headers["allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET //[ HTTP/1.1\r\n\r\n", 400),
            (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST /echo HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
            (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (b"POST /echo HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        ],
    )
    def test_what_is_not_http_is_refused_and_hung_up_on(self, calm: demo.Api, sent: bytes, status: int) -> None:
        """With an answer first."""
        assert raw(calm, sent).startswith(f"HTTP/1.1 {status} ".encode())

    def test_a_client_may_leave_in_mid_request(self, calm: demo.Api) -> None:
        """Nobody is upset."""
        assert raw(calm, b"POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc") == b""
        assert raw(calm, b"GET / HT") == b""


class TestTrouble:
    def test_flaky_stations_work_the_second_time(self, troubled: demo.Api) -> None:
        """One 503 each, then fine for ever."""
        for station in stations_in(Trouble.FLAKY):
            assert [call(troubled, f"/stations/{station}")[0] for _ in range(3)] == [503, 200, 200]

    def test_closed_stations_say_404_or_410(self, troubled: demo.Api) -> None:
        """Every time."""
        found = {call(troubled, f"/stations/{s}")[0] for s in stations_in(Trouble.CLOSED)}
        gone = {call(troubled, f"/stations/{s}")[0] for s in stations_in(Trouble.GONE)}
        assert (found, gone) == ({404}, {410})

    def test_the_slow_station_outlasts_a_short_timeout(self, troubled: demo.Api) -> None:
        """It would answer after three seconds."""
        (station,) = stations_in(Trouble.SLOW)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{troubled.url}/stations/{station}", timeout=0.3)

    def test_the_broken_station_is_cut_off_every_time(self, troubled: demo.Api) -> None:
        """In mid-body, after the promise of a full one."""
        (station,) = stations_in(Trouble.BROKEN)
        for _ in range(2):
            with pytest.raises(http.client.IncompleteRead):
                call(troubled, f"/stations/{station}")

    def test_one_station_sends_html(self, troubled: demo.Api) -> None:
        """With a status of 200."""
        (station,) = stations_in(Trouble.HTML)
        status, headers, body = call(troubled, f"/stations/{station}")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body.startswith(b"<!doctype html>")

    def test_too_many_requests_in_a_second_are_refused(self) -> None:
        """With Retry-After and the X-RateLimit headers; the next second is free again."""
        desk = Desk("http://x", calm=False)
        request = Request("GET", "/search?q=lima", "HTTP/1.1", {})
        statuses = Counter(desk.answer(request, 10 + n / 1000).status for n in range(demo.RATE_LIMIT + 20))
        refused = desk.answer(request, 10.9)
        assert statuses == {200: demo.RATE_LIMIT, 429: 20}
        assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"] == "1"
        assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("150", "0")
        fresh = desk.answer(request, 11.0)
        assert (fresh.status, fresh.headers["X-RateLimit-Remaining"]) == (200, "149")

    def test_thirty_two_eager_clients_hit_the_limit(self, troubled: demo.Api) -> None:
        """Most answers come, some are refused."""
        paths = [f"/stations/{s['station_id']}" for s in troubled.stations if s["station_id"] not in TROUBLE]
        with ThreadPoolExecutor(32) as pool:
            statuses = Counter(status for status, _, _ in pool.map(lambda path: call(troubled, path), paths))
        assert statuses == troubled.requests
        assert statuses[200] >= demo.RATE_LIMIT
        assert statuses.keys() <= {200, 429}

    def test_calm_leaves_all_trouble_out(self, troubled: demo.Api, calm: demo.Api) -> None:
        """For the whole server, or for one URL."""
        for station in TROUBLE:
            assert get(calm, f"/stations/{station}")["station"]["station_id"] == station
            status, headers, _ = call(troubled, f"/stations/{station}?calm=1")
            assert status == 200
            assert "x-ratelimit-limit" not in headers

    def test_a_new_server_starts_its_trouble_anew(self) -> None:
        """So every run of a notebook sees the same."""
        path = f"/stations/{stations_in(Trouble.FLAKY)[0]}"
        for _ in range(2):
            with demo.serve() as api:
                assert [call(api, path)[0] for _ in range(2)] == [503, 200]


class TestLive:
    def test_n_messages_then_a_clean_close(self, calm: demo.Api) -> None:
        """Readings in order, as JSON text."""
        with live(calm, f"/live/{PLAIN}?n=3&every=0") as peer:
            messages = [json.loads(text) for text in peer]
        assert [m["seq"] for m in messages] == [1, 2, 3]
        assert [m["temp"] for m in messages] == [r["temp"] for r in weather.readings()[PLAIN][:3]]
        assert peer.close_code == 1000

    def test_the_day_begins_anew_after_24_messages(self, calm: demo.Api) -> None:
        """The stream need not end."""
        with live(calm, f"/live/{PLAIN}?n=25&every=0") as peer:
            messages = [json.loads(text) for text in peer]
        assert messages[24] == {**messages[0], "seq": 25}

    def test_pings_are_answered_and_data_is_dropped(self, calm: demo.Api) -> None:
        """Also while nothing is due, and for fragments and long messages."""
        with live(calm, f"/live/{PLAIN}?every=60") as peer:
            peer.send("x" * 70_000)
            peer.send(["frag", "ments"])
            assert peer.ping(b"are you there").wait(10)

    def test_the_client_may_close(self, calm: demo.Api) -> None:
        """Its own code comes back, at once."""
        with live(calm, f"/live/{PLAIN}?every=60") as peer:
            peer.close(4321)
        assert (peer.close_code, peer.protocol.close_rcvd_then_sent) == (4321, False)

    def test_broken_frames_end_the_socket_with_1002(self, calm: demo.Api) -> None:
        """Here: a frame without a mask."""
        with live(calm, f"/live/{PLAIN}?every=60") as peer:
            peer.recv(10)
            peer.socket.sendall(b"\x81\x01x")
            with pytest.raises(ConnectionClosed) as closed:
                peer.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1002

    def test_too_long_messages_end_the_socket_with_1009(self, calm: demo.Api) -> None:
        """Before they are read."""
        with live(calm, f"/live/{PLAIN}?every=60") as peer:
            peer.recv(10)
            peer.socket.sendall(b"\x82\xff" + (1 << 40).to_bytes(8, "big"))
            with pytest.raises(ConnectionClosed) as closed:
                peer.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009

    def test_a_wrong_version_is_told_the_right_one(self, calm: demo.Api) -> None:
        """426 with Sec-WebSocket-Version."""
        key = base64.b64encode(bytes(16)).decode()
        asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key}
        status, headers, _ = call(calm, f"/live/{PLAIN}", headers=asked | {"Sec-WebSocket-Version": "8"})
        assert (status, headers["sec-websocket-version"]) == (426, "13")


class TestEvents:
    def test_events_are_numbered_readings(self, calm: demo.Api) -> None:
        """As text/event-stream, with a proper end."""
        status, headers, body = call(calm, f"/events/{PLAIN}?n=2&every=0")
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        first, second, end = body.decode().split("\n\n")
        assert first.startswith("id: 1\nevent: reading\ndata: {")
        assert end == ""
        assert json.loads(second.partition("data: ")[2])["seq"] == 2

    def test_last_event_id_resumes(self, calm: demo.Api) -> None:
        """Nothing comes twice."""
        _, _, body = call(calm, f"/events/{PLAIN}?n=8&every=0", headers={"Last-Event-ID": "7"})
        assert body.startswith(b"id: 8\n")
        assert body.count(b"id:") == 1

    def test_after_the_last_event(self, calm: demo.Api) -> None:
        """A client that has all of them is told so, and asks no more."""
        status, _, body = call(calm, f"/events/{PLAIN}?n=8&every=0", headers={"Last-Event-ID": "8"})
        assert (status, body) == (204, b"")

    def test_it_flows_before_it_ends(self, calm: demo.Api) -> None:
        """The first event does not wait for the second."""
        with urllib.request.urlopen(f"{calm.url}/events/{PLAIN}?every=60", timeout=10) as stream:
            assert stream.readline() == b"id: 1\n"


class TestLife:
    def test_closing_leaves_nothing_behind(self) -> None:
        """No thread, no socket, no warning; with clients in every state, one of which never reads."""
        before = {thread.ident for thread in threading.enumerate()}
        with demo.serve() as api:
            host, port = urlsplit(api.url).netloc.split(":")
            peers = [socket.create_connection((host, int(port)), timeout=10) for _ in range(4)]
            peers[1].sendall(b"GET /stations/st-0042 HTTP/1.1\r\n\r\n")
            peers[2].sendall(b"GET /events/st-0001?every=0 HTTP/1.1\r\n\r\n")
            peers[3].sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert peers[3].recv(12) == b"HTTP/1.1 200"
        assert {thread.ident for thread in threading.enumerate()} == before
        with pytest.raises(ConnectionError):
            socket.create_connection((host, int(port)), timeout=10)
        for peer in peers:
            peer.close()
        gc.collect()

    def test_closing_twice_does_no_harm(self) -> None:
        """Also without `with`."""
        api = demo.serve()
        api.close()
        api.close()
        assert "closed" in repr(api)

    def test_a_taken_port_is_an_error_at_once(self, calm: demo.Api) -> None:
        """In the caller's thread."""
        with pytest.raises(OSError, match="in use"):
            demo.serve(int(calm.url.rpartition(":")[2]))

    def test_it_runs_beside_a_loop_of_the_caller(self) -> None:
        """Inside a coroutine, as in a notebook."""

        async def cell() -> int:
            with demo.serve() as api:
                return (await asyncio.to_thread(call, api, f"/stations/{PLAIN}"))[0]

        assert asyncio.run(cell()) == 200

    def test_it_stands_alone(self) -> None:
        """The module loads nothing of harvest but the package itself, and no third party."""
        code = (
            "import sys, importlib.util as u; before = set(sys.modules)\n"
            "spec = u.spec_from_file_location('demo', sys.argv[1]); module = u.module_from_spec(spec)\n"
            "sys.modules['demo'] = module; spec.loader.exec_module(module)\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "raise SystemExit(repr(new - sys.stdlib_module_names - {'demo'}))"
        )
        ran = subprocess.run([sys.executable, "-c", code, str(demo.__file__)], capture_output=True, text=True)
        assert ran.stderr.strip() == "set()"


INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from harvest.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-m", "harvest", *arguments],
        capture_output=True, encoding="utf-8", timeout=60, env=environment, **options,
    )  # fmt: skip


def interruptible(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def ended(running: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still printed; `communicate` would lose what `readline` has buffered."""
    assert running.stdout is not None
    assert running.stderr is not None
    rest, errors = running.stdout.read(), running.stderr.read()
    running.wait(30)
    return rest, errors


class TestCommand:
    def test_demo_writes_one_row_per_station(self, tmp_path: Path) -> None:
        """And says what came, what failed and why."""
        import pandas as pd

        target = tmp_path / "stations.parquet"
        ran = command("demo", "--no-progress", "--out", str(target))
        assert (ran.returncode, ran.stderr) == (0, "")
        frame = pd.read_parquet(target)
        assert frame["station_id"].tolist() == list(weather.stations())
        failed = {Trouble.CLOSED, Trouble.GONE, Trouble.SLOW, Trouble.BROKEN, Trouble.HTML}
        assert set(frame.loc[~frame["ok"], "station_id"]) == {s for s, what in TROUBLE.items() if what in failed}
        assert frame.loc[frame["ok"], "temp"].notna().all()
        for kind in ("http", "timeout", "protocol", "parse"):
            assert f"\n  {kind}: " in ran.stdout
        assert f"{target}: 300 rows" in ran.stdout

    def test_demo_ends_with_130_after_ctrl_c(self, tmp_path: Path) -> None:
        """Without a traceback."""
        with interruptible("demo", "--no-progress", "--out", str(tmp_path / "x.parquet")) as running:
            assert running.stdout is not None
            assert running.stdout.readline().startswith("300 stations at http://127.0.0.1:")
            running.send_signal(signal.SIGINT)
            _, errors = ended(running)
        assert running.returncode == 130
        assert "Traceback" not in errors

    def test_serve_answers_until_ctrl_c(self) -> None:
        """It prints where it is, and a cell that can be pasted; it ends with 0 and one line."""
        with interruptible("serve", "--port", "0", "--calm") as running:
            assert running.stdout is not None
            url = running.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{url}/stations/st-0042", timeout=10) as response:
                assert response.status == 200
            running.send_signal(signal.SIGINT)
            rest, errors = ended(running)
        cell, _, last = rest.strip("\n").rpartition("\n\n")
        assert (running.returncode, last.strip(), errors) == (0, "stopped", "")
        assert f'"{url}/stations/{{station_id}}"' in cell
        compile(cell, "cell", "exec")

    def test_serve_says_when_the_port_is_taken(self, calm: demo.Api) -> None:
        """With the way out."""
        ran = command("serve", "--port", calm.url.rpartition(":")[2])
        assert ran.returncode == 1
        assert "try --port 0" in ran.stderr

    def test_version_is_the_package_s(self) -> None:
        """Of the installed harvest."""
        import harvest

        ran = command("--version")
        assert (ran.returncode, ran.stdout) == (0, f"harvest {harvest.__version__}\n")

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["reap"],
            ["demo", "--engine", "steam"],
            ["demo", "--out", "no/such/folder/x"],
            ["serve", "--port", "99999"],
        ],
    )
    def test_mistakes_end_with_2_and_a_sentence(self, arguments: list[str]) -> None:
        """Before anything is started."""
        ran = command(*arguments)
        assert ran.returncode == 2
        assert "usage: harvest" in ran.stderr
        assert "Traceback" not in ran.stderr
