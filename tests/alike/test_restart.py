# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks that restart their own kernel, after pip install: it ends in order, and Jupyter starts it again."""

import asyncio
import os
from pathlib import Path

import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from kernels import DEADLINE
from traitlets.config import Config

ENDS = [
    "get_ipython().kernel.do_shutdown(True)",
    "import IPython; IPython.Application.instance().kernel.do_shutdown(True)",
    "k = get_ipython().kernel; k.io_loop.call_later(0.1, k.do_shutdown, True) and None",
]


@pytest.mark.parametrize("kernel", ["python3", "pupitre"])
@pytest.mark.parametrize("code", ENDS)
def test_restarts_itself(kernel: str, code: str, tmp_path: Path) -> None:
    asyncio.run(_restarts_itself(kernel, code, tmp_path / "ended"))


async def _restarts_itself(kernel: str, code: str, ended: Path) -> None:
    config = Config({"KernelRestarter": {"time_to_dead": 0.1}})
    manager = AsyncIOLoopKernelManager(kernel_name=kernel, config=config)
    await manager.start_kernel(env={**os.environ, "IPYTHONDIR": str(ended.parent / "ipython")})
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=DEADLINE)
        again = asyncio.Event()
        manager.add_restart_callback(again.set, "restart")
        await client.execute_interactive(f"import atexit; atexit.register(open, {str(ended)!r}, 'w')", timeout=DEADLINE)
        shown: list[str] = []
        reply = await client.execute_interactive(
            code, timeout=DEADLINE, output_hook=lambda message: shown.append(str(message["content"]))
        )
        assert reply["content"]["status"] == "ok"
        assert ("restart" in "".join(shown)) == code.endswith("do_shutdown(True)")
        await asyncio.wait_for(again.wait(), DEADLINE)
        assert ended.exists()
        await client.wait_for_ready(timeout=DEADLINE)
        reply = await client.execute_interactive("x = 1", timeout=DEADLINE)
        assert reply["content"]["execution_count"] == 1
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
