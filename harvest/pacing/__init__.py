"""How one host is asked: no faster than the caller allows, than it says, and than it turns out to bear.

`Host` is what the scheduler holds of a host during a run, `Pacer` what is learnt of it. A pacer joins

- `caps`, the caller's explicit rates;
- `quota`, what the server's headers say (`hints` reads them);
- `throttle`, the rate found out from refusals (`supply` estimates it);
- `window`, how many may be under way;
- `health`, the circuit breaker, and `budget`, what retries may cost.

All of it is arithmetic on times that it is told.
"""

from __future__ import annotations

from harvest.pacing.host import Host
from harvest.pacing.pacer import Pacer

__all__ = ["Host", "Pacer"]
