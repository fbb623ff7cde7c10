# SPDX-License-Identifier: BSD-3-Clause
"""Starting kernels the way Jupyter does: a connection file, a session of its own, a parent to follow.

PUPITRE_KERNEL_BIN names a binary to test; otherwise the installed kernelspec `pupitre` is used (TEST_KERNEL names
another, e.g. python3 to run the same tests beside ipykernel).
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from procs import FileWatch, Process, family
from raw import CHANNELS, DEADLINE, Client, Connection, Content

KERNEL = os.environ.get("TEST_KERNEL", "pupitre")
START_DEADLINE = float(os.environ.get("TEST_START_DEADLINE", "30"))


def kernelspec() -> tuple[Path, Content]:
    """The resource directory and kernel.json of the kernel under test."""
    data = [Path(path) for path in os.environ.get("JUPYTER_PATH", "").split(":") if path]
    for base in [*data, Path(sys.prefix) / "share/jupyter"]:
        directory = base / "kernels" / KERNEL
        if (directory / "kernel.json").exists():
            return directory, json.loads((directory / "kernel.json").read_text())
    raise AssertionError(f"no kernelspec {KERNEL}: install the project, or set PUPITRE_KERNEL_BIN")


def command() -> tuple[list[str], dict[str, str]]:
    """argv up to and without `-f FILE`, and the kernelspec's environment."""
    if binary := os.environ.get("PUPITRE_KERNEL_BIN"):
        return [binary], {}
    directory, spec = kernelspec()
    argv = [arg.replace("{resource_dir}", str(directory)) for arg in spec["argv"]]
    if argv[0].startswith("python"):
        argv[0] = sys.executable
    assert argv[-2:] == ["-f", "{connection_file}"]
    return argv[:-2], spec.get("env", {})


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, outside the range from which the system picks for others."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def connection_content(directory: Path, transport: str = "ipc", **more: Any) -> Content:
    """A connection file's content with free ports; for ipc, paths in `directory`."""
    ports = list(range(1, 6)) if transport == "ipc" else free_ports(5)
    content: Content = {f"{channel}_port": port for channel, port in zip(CHANNELS, ports, strict=True)}
    content["ip"] = str(directory / "k") if transport == "ipc" else "127.0.0.1"
    content |= {"transport": transport, "key": uuid.uuid4().hex, "signature_scheme": "hmac-sha256"}
    return {**content, "kernel_name": KERNEL, **more}


def environment(directory: Path, **more: str) -> dict[str, str]:
    """The environment of a kernel under test: nobody's profile but its own, and no trace of pytest."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MPLBACKEND"))}
    env |= {"IPYTHONDIR": str(directory / "ipython"), "JUPYTER_RUNTIME_DIR": str(directory / "runtime")}
    env |= {"JPY_PARENT_PID": str(os.getpid()), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**env, **more}


@dataclass(frozen=True)
class Owner:
    """Somebody else as whom root starts a kernel."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def give(self, directory: Path) -> None:
        """Make a directory with all that is in it theirs."""
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def process(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}


class Kernel:
    """A running kernel, its connection and its processes.

    `content` and `more`: the connection file, and keys to replace in it. `file`: what follows -f instead of the file's
    path; None = no -f. `prefix`: words before the command. `before`: called when the directory is there, and the kernel
    is not. `owner`: user and group to run as, with groups (root only); the directory becomes theirs. `process`: more
    for subprocess.Popen. `other`: the command of another kernel to start in its place. `wait`: return when it answers.
    """

    live: ClassVar["list[Kernel]"] = []  # for the trace of a failing test

    def __init__(
        self,
        directory: Path,
        *,
        transport: str = "ipc",
        env: dict[str, str] | None = None,
        args: Sequence[str] = (),
        content: Content | None = None,
        prefix: Sequence[str] = (),
        wait: bool = True,
        before: Callable[[], object] = lambda: None,
        file: str | None = "",
        owner: Owner | None = None,
        process: dict[str, Any] | None = None,
        other: Sequence[str] = (),
        **more: Any,
    ) -> None:
        before()
        self.welcomes = not other and KERNEL != "python3"  # ipykernel welcomes only the first subscriber to a topic
        self.directory = directory
        self.file = directory / "kernel.json"
        self.content = content or connection_content(directory, transport, **more)
        self.file.touch(0o600)
        self.file.write_text(json.dumps(self.content))
        self.trace: list[str] = []
        self.clients: list[Client] = []
        argv, spec_env = (list(other), {}) if other else command()
        self.log = (directory / "log").open("w+b")
        if owner:
            owner.give(directory)
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, *argv, *([] if file is None else ["-f", file or str(self.file)]), *args],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**environment(directory), **spec_env, **(env or {})},
            start_new_session=True,
            **{"cwd": directory, **(owner.process() if owner else {}), **(process or {})},
        )
        self.pid = self.process.pid
        self.front = Process.open(self.pid)
        assert self.front
        Kernel.live.append(self)
        self.connection = Connection.of(self.content)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when it answers. The client used for that goes away again."""
        client = self.client(wait=False, topic=None)
        msg_id = client.send("kernel_info_request")
        client.recv_reply(msg_id, START_DEADLINE)
        self.clients.remove(client)
        client.close()

    def wait_ports(self) -> None:
        """For a file with port 0: return when the kernel has written the ports it picked."""
        with FileWatch(self.file) as watch:
            while True:
                try:
                    self.connection = Connection.of(json.loads(self.file.read_text()))
                except (OSError, ValueError):  # not there yet, or half written
                    self.connection.ports = {}
                if self.connection.picked():
                    return
                watch.wait(START_DEADLINE)

    def client(self, *, wait: bool = True, **options: Any) -> Client:
        """A front end of its own session. `wait`: return when its subscription is welcomed."""
        client = Client(self.connection, trace=self.trace, dead=self.dead, **options)
        self.clients.append(client)
        if wait:
            if self.welcomes:
                client.take(lambda m: m.type == "iopub_welcome", "iopub_welcome", START_DEADLINE)
            else:
                client.probe()
        return client

    def dead(self) -> bool:
        return self.process.poll() is not None

    def processes(self) -> list[Process]:
        """The front first, then whatever it started."""
        return family(self.pid)

    def wait_child(self, name: str) -> Process:
        """A descendant of this name. Looks into /proc again and again, which has no event for it."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            for process in self.processes():
                if process.name == name:
                    return process
        raise AssertionError(f"no {name}")

    @property
    def worker(self) -> Process:
        """The process that runs user code."""
        processes = self.processes()
        return processes[1] if len(processes) > 1 else processes[0]

    def signal(self, number: signal.Signals) -> None:
        """To the front's process group, as Jupyter does."""
        os.killpg(self.pid, number)

    def interrupt(self) -> None:
        self.signal(signal.SIGINT)

    def wait_exit(self, deadline: float = 10) -> int:
        """The exit status as subprocess gives it: negative for a signal."""
        assert self.front
        assert self.front.gone(deadline), f"the kernel still runs after {deadline} s"
        return self.process.wait(1)

    def watch(self, process: Process, seconds: float) -> int:
        """The most resident bytes a process of ours has within this time, in which it must not end."""
        end = time.monotonic() + seconds
        most = 0
        while time.monotonic() < end:
            assert not process.gone(0.05), f"{process.name} ended"
            most = max(most, process.rss())
        return most

    def output(self) -> str:
        """What it wrote to its own standard output and error so far."""
        try:
            return (self.directory / "log").read_text("utf-8", "replace")
        except OSError:
            return ""

    def close(self) -> None:
        """End it and whatever it started. Not a test: see test_life.py for how it ends by itself."""
        if self not in Kernel.live:
            return
        Kernel.live.remove(self)
        processes = self.processes()
        for client in self.clients:
            client.close()
        for process in processes:
            try:
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        for process in processes:
            process.gone(10)
        self.log.close()

    def report(self) -> str:
        return "\n".join(
            [
                f"kernel {self.pid}, {self.connection.transport}",
                *self.trace[-200:],
                "-- its log:",
                self.output()[-4000:],
            ]
        )
