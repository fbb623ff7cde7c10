# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section B: sockets, iopub_welcome, heartbeat, transports."""

import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import Kernel, connection_content
from raw import CHANNELS, Client, block, within

Launch = Callable[..., Kernel]


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_b_transports_serve_all_five_channels(launch: Launch, transport: str) -> None:
    client = launch(transport=transport).client()
    assert client.ok("1").text == "1"
    assert client.request("kernel_info_request", channel="control").status == "ok"
    client.heartbeat()
    msg_id = client.execute("input('q')", allow_stdin=True)
    client.answer("a", client.recv_input_request(msg_id))
    assert client.collect(msg_id).text == "'a'"


def test_b_welcome_of_everything(client: Client, shared_kernel: Kernel) -> None:
    """XPUB_VERBOSE: the second subscriber to a topic is welcomed as the first is. No identity for the empty topic."""
    second = shared_kernel.client(wait=False)
    welcome = second.recv("iopub", "iopub_welcome")
    assert welcome.content == {"subscription": ""}
    assert welcome.parent == {} and welcome.metadata == {}
    assert welcome.identities in ([], [b""])
    third = shared_kernel.client(wait=False)
    assert third.recv("iopub", "iopub_welcome").content == {"subscription": ""}


def test_b_welcome_of_a_topic(shared_kernel: Kernel) -> None:
    """Carries the topic as its first frame, so that a subscriber to it sees it."""
    client = shared_kernel.client(wait=False, topic=b"kernel.")
    welcome = client.recv("iopub", "iopub_welcome")
    assert welcome.identities == [b"kernel."]
    assert welcome.content == {"subscription": "kernel."}


def test_b_welcome_not_for_bytes_that_are_no_text(shared_kernel: Kernel) -> None:
    client = shared_kernel.client(wait=False, topic=b"\xff\xfe")
    client.sockets["iopub"].subscribe(b"kernel")
    assert client.recv("iopub", "iopub_welcome").content == {"subscription": "kernel"}


def test_b_unsubscribe_is_ignored(client: Client) -> None:
    client.sockets["iopub"].subscribe(b"stream")
    assert client.recv("iopub", "iopub_welcome").content == {"subscription": "stream"}
    client.sockets["iopub"].unsubscribe(b"stream")
    assert client.ok("print(1)").stdout == "1\n"


def test_b_topics(client: Client) -> None:
    result = client.run("print(1); display(2); 3")
    topics = {message.type: message.identities[0].decode() for message in [result.busy, *result.messages]}
    assert topics["stream"] == "stream.stdout" and topics["display_data"] == "display_data"
    prefix = topics["status"].removesuffix(".status")
    assert prefix.startswith("kernel.")
    assert topics["execute_input"] == f"{prefix}.execute_input"
    assert topics["execute_result"] == f"{prefix}.execute_result"
    assert client.run("1/0").one("error").identities == [f"{prefix}.error".encode()]


def test_b_subscription_by_topic_filters(shared_kernel: Kernel) -> None:
    client = shared_kernel.client(wait=False, topic=b"stream.stderr")
    client.recv("iopub", "iopub_welcome")
    msg_id = client.execute("import sys; print('out'); print('err', file=sys.stderr)")
    client.recv_reply(msg_id)
    client.recv_stream(msg_id, "err\n", "stderr")


def test_b_reconnecting_identity_takes_over(shared_kernel: Kernel) -> None:
    """ROUTER_HANDOVER on shell, control and stdin."""
    first = shared_kernel.client(identity=b"same")
    assert first.ok("1").text == "1"
    second = shared_kernel.client(identity=b"same")
    assert second.ok("2").text == "2"
    assert second.request("kernel_info_request", channel="control").status == "ok"
    msg_id = second.execute("input()", allow_stdin=True)
    second.answer("x", second.recv_input_request(msg_id))
    assert second.collect(msg_id).text == "'x'"
    shared_kernel.clients.remove(first)
    first.close()


def test_b_client_that_left_before_its_reply(client: Client, shared_kernel: Kernel) -> None:
    for _ in range(20):
        gone = shared_kernel.client(wait=False, topic=None)
        gone.execute("1")
        gone.sockets["shell"].close(500)
        del gone.sockets["shell"]
        shared_kernel.clients.remove(gone)
        gone.close()
    assert client.ok("2").text == "2"


@pytest.mark.parametrize(
    "payload", [[b"ping"], [b""], [b"a", b"b", b""], [b"x" * 1000]], ids=["ping", "empty", "frames", "1000 bytes"]
)
def test_b_heartbeat_echoes_all_frames(client: Client, payload: list[bytes]) -> None:
    client.heartbeat(payload)


def test_b_heartbeat_while_c_code_holds_the_gil(kernel: Kernel, fresh: Client) -> None:
    """The cell would run for hours."""
    fresh.begin("import re; print('ready', flush=True); re.match('(a|a)*b', 'a' * 60)")
    slowest = max(fresh.heartbeat() for _ in range(50))
    assert slowest < 0.5, f"heartbeat took {slowest:.3f} s"
    kernel.close()


def test_b_control_answers_while_c_code_holds_the_gil(kernel: Kernel, fresh: Client) -> None:
    """The cell would run for minutes."""
    fresh.begin("print('ready', flush=True); sum(range(10**10))")
    for request in ("kernel_info_request", "connect_request", "usage_request"):
        with within(1, request):
            assert fresh.request(request, channel="control").reply.content
    kernel.close()


def test_b_twenty_thousand_displays_reach_a_slow_client(kernel: Kernel) -> None:
    """BUG in both: the high-water mark drops messages, the final idle included."""
    client = kernel.client(hwm=1)
    msg_id = client.execute("for n in range(20000): display(n)")
    client.wait_unread(3)
    shown = [m for m in client.messages_until_idle(msg_id, 60) if m.type == "display_data"]
    client.recv_reply(msg_id)
    assert [int(message.content["data"]["text/plain"]) for message in shown] == list(range(20000))


def test_b_subscriber_that_comes_while_another_does_not_read_is_welcomed(kernel: Kernel) -> None:
    client = kernel.client(hwm=1)
    msg_id = client.execute(UNREAD_THEN_LARGE)
    client.wait_unread(2)
    newcomer = kernel.client(wait=False)
    newcomer.wait_unread(0.5, "iopub")
    client.collect(msg_id, 30)
    assert newcomer.recv("iopub", "iopub_welcome").content == {"subscription": ""}
    assert newcomer.ok("1").text == "1"


def test_b_reply_behind_a_display_larger_than_the_backlog(kernel: Kernel) -> None:
    """The reply comes to the front together with what fills its backlog; all of that leaves in one go, once it is read.

    Reading the backlog is then the last thing that ever wakes the front.
    """
    client = kernel.client(hwm=1)
    msg_id = client.execute(UNREAD_THEN_LARGE)
    client.wait_unread(2)
    assert len(client.collect(msg_id, 30).all("display_data")) == 301


UNREAD_THEN_LARGE = block("""
    from IPython.display import display
    for _ in range(300):
        display({"text/plain": "x" * 10_000}, raw=True)
    display({"text/plain": "x" * 40_000_000}, raw=True)
""")


def test_b_reply_is_sent_before_idle(client: Client) -> None:
    for n in range(20):
        result = client.ok(f"print({n})")
        assert result.stdout == f"{n}\n"
        assert result.reply.header["date"] <= result.idle.header["date"]


def test_b_no_reply_is_lost_however_many_wait(kernel: Kernel) -> None:
    """A client that asks for long, and only then reads."""
    client = kernel.client(hwm=1, topic=None, wait=False)
    asked = [client.send("connect_request", channel="control") for _ in range(10_000)]
    client.wait_unread(1, "shell")
    for msg_id in asked:
        client.recv_reply(msg_id)


def test_b_no_request_is_stranded(fresh: Client, kernel: Kernel) -> None:
    """Edge-triggered ZMQ_FD: clients that write while the kernel writes."""
    clients = [fresh, *[kernel.client() for _ in range(3)]]
    for _ in range(100):
        asked = [(c, c.send(kind, channel=where)) for c in clients for kind, where in MIXED]
        for client, msg_id in asked:
            client.collect(msg_id)


MIXED = [("kernel_info_request", "shell"), ("kernel_info_request", "control"), ("comm_info_request", "shell")]


def test_b_port_zero_is_picked_and_written_back(directory: Path, launch: Launch) -> None:
    content = connection_content(directory, "tcp") | {f"{channel}_port": 0 for channel in CHANNELS}
    kernel = launch(content=content, wait=False)
    kernel.wait_ports()
    assert all(port > 0 for port in kernel.connection.ports.values())
    assert len(set(kernel.connection.ports.values())) == 5
    assert kernel.client().ok("1").text == "1"


def test_b_ip_star_listens_everywhere(directory: Path, launch: Launch) -> None:
    kernel = launch(content=connection_content(directory, "tcp", ip="*"), wait=False)
    kernel.connection.ip = "127.0.0.1"
    kernel.wait_ready()
    client = kernel.client()
    assert client.ok("1").text == "1"
    client.heartbeat()


def addresses(name: str) -> list[str]:
    """What a client may connect to when it is told this name: addresses of this machine."""

    def is_here(family: int, address: str) -> bool:
        with socket.socket(family) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
        return True

    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(info[4][0]) for info in found if is_here(info[0], str(info[4][0]))})


@pytest.mark.parametrize("ip", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", socket.gethostname()])
def test_b_every_address_of_this_machine_is_listened_on(directory: Path, launch: Launch, ip: str) -> None:
    for address in addresses(ip):
        kernel = launch(content=connection_content(directory, "tcp", ip=ip), wait=False)
        kernel.connection.ip = address
        kernel.wait_ready()
        client = kernel.client()
        assert client.ok("1").text == "1"
        client.heartbeat()


def test_b_ipc_sockets_are_private(client: Client, shared_kernel: Kernel) -> None:
    for channel in CHANNELS:
        path = client.connection.endpoint(channel).removeprefix("ipc://")
        mode = os.stat(path).st_mode
        assert stat.S_ISSOCK(mode) and not mode & 0o077, f"{path}: {oct(mode)}"


def test_b_ipc_sockets_are_removed_at_shutdown(kernel: Kernel, fresh: Client) -> None:
    paths = [Path(fresh.connection.endpoint(channel).removeprefix("ipc://")) for channel in CHANNELS]
    assert all(path.exists() for path in paths)
    fresh.request("shutdown_request", {"restart": False}, channel="control")
    kernel.wait_exit()
    fresh.inbox.clear()
    assert not any(path.exists() for path in paths)


def test_b_ipc_leaves_foreign_files_alone(directory: Path, launch: Launch) -> None:
    """libzmq's bind unlinks whatever is at the path."""
    content = connection_content(directory)
    precious = directory / "k-3"
    precious.write_text("precious")
    kernel = launch(content=content, wait=False)
    assert kernel.wait_exit() == 3
    assert precious.read_text() == "precious"


# -- ipc paths: hazard T7 ---


def test_b_ipc_leaves_a_live_kernel_alone(launch: Launch) -> None:
    """A second kernel with the same file: libzmq would take the first one's place without a word."""
    first = launch()
    second = launch(content=first.content, wait=False)
    assert second.wait_exit() == 3
    assert first.client().ok("1").text == "1"


def test_b_ipc_dead_sockets_of_ours_are_replaced(launch: Launch) -> None:
    first = launch()
    first.close()
    path = Path(first.connection.endpoint("shell").removeprefix("ipc://"))
    assert path.exists()
    assert launch(content=first.content).client().ok("1").text == "1"


def test_b_ipc_does_not_follow_links(directory: Path, launch: Launch) -> None:
    target = directory / "target"
    target.write_text("precious")
    (directory / "k-2").symlink_to(target)
    assert launch(content=connection_content(directory), wait=False).wait_exit() == 3
    assert target.read_text() == "precious"


# -- hostile peers: hazards P8, P17, P18, P22 ---


def test_b_oversize_messages_are_refused(shared_kernel: Kernel, client: Client) -> None:
    """The peer that sends them is dropped, everybody else is served, and the front does not grow."""
    front = shared_kernel.processes()[0]
    before = front.rss()
    for channel, size in (("control", 2 << 20), ("stdin", 65 << 20), ("hb", 4096), ("shell", 65 << 20)):
        stranger = shared_kernel.client(wait=False, topic=None)
        (stranger.open("hb") if channel == "hb" else stranger.sockets[channel]).send(b"x" * size)
        assert client.request("kernel_info_request", channel="control").status == "ok"
        shared_kernel.clients.remove(stranger)
        stranger.close()
    client.heartbeat()
    assert client.ok("1").text == "1"
    assert front.rss() - before < 8 << 20


def test_b_long_topics_are_not_welcomed(shared_kernel: Kernel, client: Client) -> None:
    client.sockets["iopub"].subscribe(b"t" * 300)
    client.sockets["iopub"].subscribe(b"short")
    assert client.recv("iopub", "iopub_welcome").content == {"subscription": "short"}


def test_b_strangers_that_do_not_speak_zmtp(launch: Launch) -> None:
    """Random bytes, half greetings, silence, on every port."""
    kernel = launch(transport="tcp")
    client = kernel.client()
    chance = random.Random(5)
    greeting = bytes.fromhex("ff00000000000000017f0300") + b"NULL" + bytes(48)
    silent = []
    for port in kernel.connection.ports.values():
        for number in range(40):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=10)
            cut = chance.randrange(len(greeting))
            kind = (chance.randbytes(200), greeting[:cut] + chance.randbytes(50), b"GET / HTTP/1.1\r\n\r\n", b"")
            stranger.sendall(kind[number % 4])
            silent.append(stranger)
        client.heartbeat()
        assert client.ok("1").text == "1"
    for stranger in silent:
        stranger.close()
    assert client.ok("2").text == "2"


def test_b_many_connections(launch: Launch) -> None:
    """Clients that come and go leave no descriptor behind."""
    kernel = launch(transport="tcp")
    front = kernel.processes()[0]
    client = kernel.client()
    client.ok("1")
    before = front.descriptors()
    for _ in range(50):
        visitor = kernel.client()
        assert visitor.request("kernel_info_request").status == "ok"
        kernel.clients.remove(visitor)
        visitor.close()
    client.ok("2")
    front.wait_descriptors(before)
