"""What is answered to which request, and when trouble comes instead."""

from __future__ import annotations

import math
import unicodedata
import zlib
from typing import Any
from urllib.parse import urlsplit

from . import weather
from .messages import Refusal, Reply, Request, as_json
from .pages import page
from .trouble import RATE_LIMIT, SLOW_SECONDS, TROUBLE, Trouble

ENDPOINTS = {
    "/stations/{id}": "current weather",
    "/stations/{id}/readings": "the 24 readings of the day",
    "/stations?page=1&per_page=50": "all stations by page; the next page is in `next` and in the Link header",
    "/stations?cursor=&per_page=50": "all stations by cursor; go on with `next_cursor`",
    "/stations?offset=0&per_page=50": "all stations by offset",
    "/search?q=": "stations by name or country",
    "/echo": "what was sent, with any method",
    "/live/{id}?n=&every=0.2": "websocket: a reading every 0.2 s; cut=10 loses the connection after each 10",
    "/live?n=&every=0.2": 'the same of the stations that are named in the first message: {"subscribe": ["st-0001"]}',
    "/events/{id}?n=&every=0.2": "the same as an event stream; Last-Event-ID resumes it, also after cut=10",
}


class Desk:
    """Requests in, replies out. It is told the time and does no I/O."""

    def __init__(self, url: str, calm: bool) -> None:
        self.url = url
        self.calm = calm
        self.stations = {key: {**row, "url": f"{url}/stations/{key}"} for key, row in weather.stations().items()}
        self._stumbled: set[str] = set()
        self._opened = -math.inf
        self._used = 0

    def answer(self, request: Request, now: float) -> Reply:
        """The reply to a request that came at this time, in seconds of any clock."""
        calm = self.calm or request.query.get("calm", "0") not in ("", "0")
        quota = {} if calm else self._spend(now)
        try:
            if self._used > RATE_LIMIT and not calm:
                raise Refusal(429, f"more than {RATE_LIMIT} requests in a second", {"Retry-After": "1"})
            reply = self._route(request, calm)
        except Refusal as refusal:
            reply = refusal.reply
        reply.headers |= quota
        return reply

    def _spend(self, now: float) -> dict[str, str]:
        """Count a request, and say what is left of this second; the next one is never further away than 1 s."""
        if now - self._opened >= 1:
            self._opened, self._used = now, 0
        self._used += 1
        left = max(0, RATE_LIMIT - self._used)
        return {"X-RateLimit-Limit": str(RATE_LIMIT), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": "1"}

    def _route(self, request: Request, calm: bool) -> Reply:
        if request.parts == ["echo"]:
            return _echo(request)
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, f"{request.method} is for /echo", {"Allow": "GET, HEAD"})
        match request.parts:
            case [""]:
                return as_json({"service": "harvest demo", "endpoints": ENDPOINTS, "trouble": TROUBLE})
            case ["stations"]:
                return page(request, f"{self.url}/stations", list(self.stations.values()))
            case ["stations", key] | ["stations", key, "readings"]:
                return self._weather(key, len(request.parts) == 3, None if calm else TROUBLE.get(key))
            case ["search"]:
                return self._search(request)
            case ["events", key] if self._station(key):
                return Reply(200, b"", {"Content-Type": "text/event-stream"})
            case ["live", *keys] if all(map(self._station, keys)):
                needs = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
                raise Refusal(426, "open this as a websocket", needs)
        raise Refusal(404, f"there is no {urlsplit(request.target).path}; see {self.url}/")

    def _station(self, key: str) -> dict[str, Any]:
        if key not in self.stations:
            raise Refusal(404, f"there is no station {key}")
        return self.stations[key]

    def _weather(self, key: str, whole_day: bool, trouble: Trouble | None) -> Reply:
        station, day = self._station(key), weather.readings()[key]
        reply = as_json(day if whole_day else _current(station, day[-1]))
        reply.delay = latency(key)
        return self._spoil(key, reply, trouble) if trouble else reply

    def _spoil(self, key: str, reply: Reply, trouble: Trouble) -> Reply:
        match trouble:
            case Trouble.FLAKY if key not in self._stumbled:
                self._stumbled.add(key)
                raise Refusal(503, f"{key} is starting; try again")
            case Trouble.CLOSED | Trouble.GONE:
                raise Refusal(int(trouble), f"{key} was closed")
            case Trouble.HTML:
                reply.body = b"<!doctype html><title>Maintenance</title><p>We are back soon."
                reply.headers["Content-Type"] = "text/html; charset=utf-8"
            case Trouble.BROKEN:
                reply.cut = True
            case Trouble.SLOW:
                reply.delay = SLOW_SECONDS
        return reply

    def _search(self, request: Request) -> Reply:
        wanted = _fold(request.query.get("q", ""))
        if not wanted:
            raise Refusal(400, "say what to look for: /search?q=lima")
        found = [row for row in self.stations.values() if wanted in _fold(f"{row['name']}\n{row['country']}")]
        return as_json({"q": request.query["q"], "total": len(found), "stations": found})


def latency(station_id: str) -> float:
    """The seconds that a station takes to answer: 10 to 80 ms, always the same."""
    return (10 + zlib.crc32(station_id.encode()) % 71) / 1000


def _echo(request: Request) -> Reply:
    sent = {"method": request.method, "query": request.query, "headers": request.headers}
    return as_json(sent | {"body": request.body.decode("utf-8", "replace")})


def _current(station: dict[str, Any], reading: dict[str, Any]) -> dict[str, Any]:
    main = {name: reading[name] for name in ("temp", "humidity", "pressure")}
    wind = {"speed": reading["wind_speed"], "direction": reading["wind_direction"]}
    return {"station": station, "main": main, "wind": wind, "observed_at": reading["observed_at"]}


def _fold(text: str) -> str:
    """Without accents and case, so that `sao` finds São Paulo."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
