"""What `import harvest` loads, which everybody pays for, and what it leaves until it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ON_USE = ["difflib", "http_sf", "httpx", "pycurl", "tqdm", "websockets", "harvest.streams.listener"]
LOADED = """
import json, sys
import pandas
before = set(sys.modules)
import harvest
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that `import harvest` adds to those of pandas, in a fresh interpreter."""
    told = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=25
    )
    return set(json.loads(told.stdout))


@pytest.mark.parametrize("name", ON_USE)
def test_not_loaded_before_it_is_used(loaded: set[str], name: str) -> None:
    """`import harvest` leaves what most harvests do without, and both engines, until somebody needs them."""
    assert "harvest" in loaded
    assert name not in loaded
