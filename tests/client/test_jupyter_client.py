# SPDX-License-Identifier: BSD-3-Clause
"""Through jupyter_client, as nbclient, the server and the console use it: managers, restarts, several clients."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client import AsyncKernelManager, BlockingKernelClient, KernelManager, MultiKernelManager
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_client.manager import start_new_kernel
from procs import Process, family, time_until_gone

KERNEL = os.environ.get("TEST_KERNEL", "pupitre")
TIMEOUT = 30


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)


@contextmanager
def started(**options: Any) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=TIMEOUT, **options)
    processes = family(pid_of(manager))
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        time_until_gone(processes, 5)


def pid_of(manager: Any) -> int:
    pid = manager.provisioner.pid
    assert isinstance(pid, int)
    return pid


def reply_to(client: BlockingKernelClient, msg_id: str) -> dict[str, Any]:
    """wait_for_ready may have asked for kernel_info more than once: those replies are passed over."""
    while True:
        reply: dict[str, Any] = client.get_shell_msg(timeout=TIMEOUT)
        if reply["parent_header"]["msg_id"] == msg_id:
            return reply


def outputs(client: BlockingKernelClient, code: str, **options: Any) -> tuple[dict[str, Any], str]:
    """The reply's content, and all text that was shown."""
    texts: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        texts.append(content.get("text", "") + content.get("data", {}).get("text/plain", ""))

    reply = client.execute_interactive(code, timeout=TIMEOUT, output_hook=hook, **options)
    return reply["content"], "".join(texts)


def test_client_blocking() -> None:
    with started() as (_, client):
        content, text = outputs(client, "print('hello'); 1 + 1")
        assert content["status"] == "ok" and text == "hello\n2"
        assert client.is_alive()
        assert client.complete("zi", reply=True, timeout=TIMEOUT)["content"]["matches"]
        assert client.inspect("zip", reply=True, timeout=TIMEOUT)["content"]["found"]
        assert client.history(hist_access_type="tail", n=1, reply=True, timeout=TIMEOUT)["content"]["history"]
        assert client.kernel_info(reply=True, timeout=TIMEOUT)["content"]["status"] == "ok"
        assert client.comm_info(reply=True, timeout=TIMEOUT)["content"]["comms"] == {}


def test_client_input() -> None:
    with started() as (_, client):

        def answer(message: dict[str, Any]) -> None:
            client.input("from the client")

        assert outputs(client, "input('? ')", stdin_hook=answer)[1] == "'from the client'"


def test_client_async() -> None:
    async def main() -> None:
        manager = AsyncKernelManager(kernel_name=KERNEL)
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=TIMEOUT)
            texts: list[str] = []
            reply = await client.execute_interactive(
                "import asyncio; await asyncio.sleep(0); print('async')",
                timeout=TIMEOUT,
                output_hook=lambda message: texts.append(message["content"].get("text", "")),
            )
            assert reply["content"]["status"] == "ok" and "".join(texts) == "async\n"
            replies = [await client.execute(f"{n}", reply=True, timeout=TIMEOUT) for n in range(10)]
            assert [reply["content"]["execution_count"] for reply in replies] == list(range(2, 12))
        finally:
            client.stop_channels()
            await manager.shutdown_kernel()

    asyncio.run(main())


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_client_transports(transport: str) -> None:
    manager = KernelManager(kernel_name=KERNEL, transport=transport)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        assert outputs(client, "5")[1] == "5"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_manager_interrupt() -> None:
    with started() as (manager, client):
        msg_id = client.execute("import time; print('ready', flush=True); time.sleep(60)")
        while client.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "stream":
            pass
        manager.interrupt_kernel()
        assert reply_to(client, msg_id)["content"]["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("now", [False, True])
def test_manager_restart(now: bool) -> None:
    """Same connection file and ports, new session; the old processes are gone, even out of C code holding the GIL."""
    with started() as (manager, client):
        outputs(client, "x = 1")
        session = client.kernel_info(reply=True, timeout=TIMEOUT)["header"]["session"]
        client.execute("print('ready', flush=True); sum(range(10**10))")
        while client.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "stream":
            pass
        before = family(pid_of(manager))
        manager.restart_kernel(now=now)
        time_until_gone(before, 5)
        client.wait_for_ready(timeout=TIMEOUT)
        content, text = outputs(client, "'x' in globals()")
        assert text == "False" and content["execution_count"] == 1
        assert client.kernel_info(reply=True, timeout=TIMEOUT)["header"]["session"] != session


def test_manager_restart_ten_times() -> None:
    with started() as (manager, client):
        for _ in range(10):
            manager.restart_kernel()
            client.wait_for_ready(timeout=TIMEOUT)
            assert outputs(client, "2")[1] == "2"


def test_manager_shutdown_leaves_nothing(tmp_path: Path) -> None:
    with started() as (manager, client):
        processes = family(pid_of(manager))
        file = Path(manager.connection_file)
        manager.shutdown_kernel()
        time_until_gone(processes, 3)
        assert not manager.is_alive() and not file.exists()
        client.stop_channels()


def test_manager_many_kernels() -> None:
    """MultiKernelManager, as the server uses it."""
    managers = MultiKernelManager(default_kernel_name=KERNEL)
    ids = [managers.start_kernel() for _ in range(3)]
    try:
        for number, kernel_id in enumerate(ids):
            client = managers.get_kernel(kernel_id).client()
            client.start_channels()
            client.wait_for_ready(timeout=TIMEOUT)
            assert outputs(client, f"{number} * 100")[1] == str(number * 100)
            client.stop_channels()
    finally:
        managers.shutdown_all()
    assert managers.list_kernel_ids() == []


def test_autorestart_after_death() -> None:
    """The restarter of the server: a kernel whose cell killed it comes back by itself, on the same ports."""

    async def main() -> None:
        manager = AsyncIOLoopKernelManager(kernel_name=KERNEL, autorestart=True)
        await manager.start_kernel()
        assert manager._restarter is not None
        manager._restarter.time_to_dead = 0.3
        manager._restarter.stop()
        manager._restarter._pcallback = None
        manager._restarter.start()
        restarted = asyncio.Event()
        manager.add_restart_callback(restarted.set, "restart")
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=TIMEOUT)
            first = pid_of(manager)
            msg_id = client.execute("import ctypes; ctypes.string_at(0)")
            reply = await client.get_shell_msg(timeout=TIMEOUT)
            while reply["parent_header"]["msg_id"] != msg_id:
                reply = await client.get_shell_msg(timeout=TIMEOUT)
            assert reply["content"]["status"] == "error"
            await asyncio.wait_for(restarted.wait(), TIMEOUT)
            await client.wait_for_ready(timeout=TIMEOUT)
            assert pid_of(manager) != first
            reply = await client.execute("1", reply=True, timeout=TIMEOUT)
            assert reply["content"]["execution_count"] == 1
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    asyncio.run(main())


def test_provisioner_sees_the_exit_status() -> None:
    with started() as (manager, client):
        process = Process.open(pid_of(manager))
        assert process
        msg_id = client.execute("import os; os._exit(3)")
        assert reply_to(client, msg_id)["content"]["status"] == "error"
        assert process.gone(TIMEOUT)
        assert asyncio.run(manager.provisioner.poll()) == 3


def test_provisioner_signals() -> None:
    with started() as (manager, client):
        assert outputs(client, "1")[1] == "1"
        manager.signal_kernel(signal.SIGINT)
        assert outputs(client, "2")[1] == "2"


def test_two_clients_on_one_kernel() -> None:
    """Of two sessions: each gets its own replies, both see everything."""
    with started() as (manager, first):
        second = BlockingKernelClient(connection_file=manager.connection_file)
        second.load_connection_file()
        second.start_channels()
        second.wait_for_ready(timeout=TIMEOUT)
        try:
            outputs(first, "shared = 'seen by both'")
            assert outputs(second, "shared")[1] == "'seen by both'"
            assert not any_message(first.shell_channel)
            while first.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "execute_result":
                pass
        finally:
            second.stop_channels()


def any_message(channel: Any) -> bool:
    try:
        channel.get_msg(timeout=0)
    except Empty:
        return False
    return True


def test_two_clients_of_one_manager_share_an_identity() -> None:
    """The later one takes over: ROUTER_HANDOVER."""
    with started() as (manager, first):
        assert outputs(first, "1")[1] == "1"
        second = manager.client()
        second.start_channels()
        second.wait_for_ready(timeout=TIMEOUT)
        assert outputs(second, "2")[1] == "2"
        second.stop_channels()


def test_reconnecting_client() -> None:
    """The same session and identity, again and again."""
    with started() as (manager, client):
        for n in range(5):
            again = BlockingKernelClient(connection_file=manager.connection_file, session=client.session)
            again.load_connection_file()
            again.start_channels()
            again.wait_for_ready(timeout=TIMEOUT)
            assert outputs(again, str(n))[1] == str(n)
            again.stop_channels()


def test_kernelspec_is_whole() -> None:
    """What front ends read from it."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    assert spec.language == "python" and spec.display_name
    assert "{connection_file}" in spec.argv
    for logo in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
        assert (Path(spec.resource_dir) / logo).stat().st_size > 0
    assert spec.metadata.get("debugger", False) is False or KERNEL != "pupitre"
