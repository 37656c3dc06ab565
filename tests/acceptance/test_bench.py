"""Every benchmark still runs: they call our code as services do, and nobody looks at their figures here."""

import json
import subprocess
import sys

import pytest

from bench.__main__ import NAMES

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_has_figures(name):
    command = [sys.executable, "-m", "bench", name, "--quick", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout)
