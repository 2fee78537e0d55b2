"""Type checkers see precise types: mypy and pyright over `tests/typing_api.py`, which is not run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

API = Path(__file__).with_name("typing_api.py")
ROOT = API.parent.parent
PYRIGHT = {
    "include": [API.name],
    "extraPaths": [str(ROOT)],
    "typeCheckingMode": "strict",
    "enableTypeIgnoreComments": False,  # those are mypy's
    "reportUnnecessaryTypeIgnoreComment": "error",
    "reportMissingTypeStubs": False,  # pyarrow has none
    "reportUnknownMemberType": False,
    "reportUnknownVariableType": False,
    "reportUnknownArgumentType": False,
}


def checked(command: list[str], folder: Path) -> None:
    """The checker finds nothing that `typing_api` does not expect, and all that it does."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.timeout(180)  # ten seconds of computing the first time, and other tests compute beside it
@pytest.mark.skipif(not find_spec("mypy"), reason="mypy is an extra: pip install '.[lint]'")
def test_mypy_agrees(tmp_path: Path) -> None:
    """Strictly: every promised type holds, and every mistake is found."""
    checked([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(API)], ROOT)


@pytest.mark.timeout(180)
@pytest.mark.skipif(not find_spec("basedpyright"), reason="basedpyright is an extra: pip install '.[lint]'")
def test_pyright_agrees(tmp_path: Path) -> None:
    """So does the checker that editors use, as basedpyright, which brings its own node where pyright may fetch one."""
    shutil.copy(API, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    checked([sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable], tmp_path)
