# SPDX-License-Identifier: BSD-3-Clause
"""Systems with less than usual: no /proc, no /dev/null, nothing left of a limit."""

import subprocess
from collections.abc import Callable

import pytest
from launch import Kernel

Launch = Callable[..., Kernel]

# A mount namespace of one's own, as root or, where the system lets them, as anybody.
UNSHARE = next(
    (
        words
        for words in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"])
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    ),
    None,
)

if UNSHARE is not None:

    @pytest.mark.parametrize("missing", ["/proc", "/dev", "/proc /dev"])
    def test_minimal_without(launch: Launch, missing: str) -> None:
        assert UNSHARE is not None
        hide = f'for place in {missing}; do mount -t tmpfs none $place; done; exec "$@"'
        kernel = launch(prefix=[*UNSHARE, "sh", "-c", hide, "sh"])
        client = kernel.client()
        assert client.evaluate(f"[*map(__import__('os').listdir, {missing.split()})]") == [[]] * len(missing.split())
        result = client.ok("import os, sys; print('out'); print('err', file=sys.stderr); os.read(0, 1)")
        assert (result.text, result.stdout, result.stderr) == ("b''", "out\n", "err\n")
        cell = client.begin("print('ready', flush=True)\nimport time; time.sleep(60)")
        kernel.interrupt()
        assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"
        client.request("shutdown_request", {"restart": False}, channel="control")
        assert kernel.wait_exit() == 0


def test_minimal_without_timers(launch: Launch) -> None:
    """RLIMIT_SIGPENDING is the user's, and other processes may have used it up."""
    kernel = launch(prefix=["bash", "-c", 'ulimit -i 0; exec "$@"', "bash"])
    client = kernel.client()
    cell = client.begin("print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.01)")
    kernel.interrupt()
    assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"
