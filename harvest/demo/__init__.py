"""A weather service on 127.0.0.1 to practise on: real sockets, 300 stations, and every kind of trouble.

    with demo.serve() as api:
        frame = harvest.fetch_frame(pd.DataFrame(api.stations))

What goes wrong is always the same, by the station's id (see `TROUBLE`): a first answer of 503, a closed station, a slow
one, one that cuts its answer off, one that sends HTML. More than `RATE_LIMIT` requests in a second get a 429. A server
forgets all of it when it stops. `serve(calm=True)`, or `?calm=1` in one URL, leaves the trouble out.

The readings are made by a formula (see `data/README.md`). Only the standard library is used, and nothing of the rest of
harvest: the imports in here are relative, so that the package runs without it.
"""

from __future__ import annotations

from .api import Api
from .desk import ENDPOINTS
from .messages import MAX_BODY
from .trouble import RATE_LIMIT, SLOW_SECONDS, TROUBLE, Trouble

__all__ = ["ENDPOINTS", "MAX_BODY", "RATE_LIMIT", "SLOW_SECONDS", "TROUBLE", "Api", "Trouble", "serve"]


def serve(port: int = 0, *, calm: bool = False) -> Api:
    """Start the service in a thread of its own. Close it with `with`, or with `close()`."""
    return Api(port, calm)
