# SPDX-License-Identifier: BSD-3-Clause
"""Startup files may take longer than a front waits for a worker that does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from nursery import Nursery, Start

SECONDS = 11  # the front gives up a silent worker after 10


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_slow_startup_files_run_once(nursery: Nursery, start: Start, tmp_path: Path) -> None:
    startup = tmp_path / "profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "slow.py").write_text(
        f"import time; open({str(tmp_path / 'runs')!r}, 'a').write('x'); time.sleep({SECONDS}); slow = 1\n"
    )
    kernel = start(nursery, env={"IPYTHONDIR": str(tmp_path)})
    assert kernel.client().ok("slow").text == "1"
    assert (tmp_path / "runs").read_text() == "x"
