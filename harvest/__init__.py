"""A table of endpoints goes in, the same table comes back with a response or an error on every row.

>>> import harvest
>>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
>>> frame[["url", "ok", "error"]]
                    url     ok            error
0  http://127.0.0.1:1/  False          connect
1                  NaN  False  invalid_request
"""

from harvest._version import __version__
from harvest.calls import Call
from harvest.coroutines import run
from harvest.errors import ErrorKind, HarvestError, Interrupted, StoreError, UsageError
from harvest.harvester import Harvester
from harvest.listening import Listening
from harvest.memory import last
from harvest.messages import Message
from harvest.outcomes import Outcome, Summary
from harvest.policies import Pace, Retry, Timeout
from harvest.previews import Preview
from harvest.progress import Progress
from harvest.results import accessor as _accessor  # noqa: F401  (registers `frame.harvest`)
from harvest.store import read
from harvest.verbs.fetching import afetch_frame, fetch_batches, fetch_frame, fetch_iter, fetch_to, preview
from harvest.verbs.listening import alisten_frame, listen_frame, listen_iter, listen_to

__all__ = [
    "Call",
    "ErrorKind",
    "HarvestError",
    "Harvester",
    "Interrupted",
    "Listening",
    "Message",
    "Outcome",
    "Pace",
    "Preview",
    "Progress",
    "Retry",
    "StoreError",
    "Summary",
    "Timeout",
    "UsageError",
    "__version__",
    "afetch_frame",
    "alisten_frame",
    "fetch_batches",
    "fetch_frame",
    "fetch_iter",
    "fetch_to",
    "last",
    "listen_frame",
    "listen_iter",
    "listen_to",
    "preview",
    "read",
    "run",
]


def __dir__() -> list[str]:
    """What completion shows: the public names, not the modules behind them."""
    return __all__
