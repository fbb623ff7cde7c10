# SPDX-License-Identifier: BSD-3-Clause
"""A JupyterHub on loopback that starts a server for every user, as that user, and what a browser would do with it."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import websocket
from accounts import Account

DEADLINE = 60.0  # seconds for one thing to happen

CONFIG = """\
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.cookie_secret_file = "{state}/cookie_secret"
c.ConfigurableHTTPProxy.command = [
    "{python}", "{python.parent}/configurable-http-proxy", "--timeout={milliseconds}", "--proxy-timeout={milliseconds}"
]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{state}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "office", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "office", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["office"]}}
]
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = ["{python}", "-m", "jupyterhub.singleuser"]
c.Spawner.ip = "127.0.0.1"
c.Spawner.environment = {environment!r}
c.Spawner.start_timeout = {deadline}
c.Spawner.http_timeout = {deadline}
"""


class Log:
    """What a process writes to a pipe: kept, and waited for."""

    def __init__(self, pipe: Any) -> None:
        self.lines: list[str] = []
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: Any) -> None:
        for line in pipe:
            self.lines.append(line.rstrip())
            self._new.put(line)
        self._new.put(None)

    def wait(self, text: str, seconds: float = DEADLINE) -> str:
        """The next line that holds the text. Fails at the deadline, or when the process closes its end first."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._new.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                line = None
            assert line is not None, f"no {text!r} within {seconds} s:\n{self}"
            if text in line:
                return line

    def __str__(self) -> str:
        return "\n".join(self.lines[-60:])


def start(
    command: list[str], environment: dict[str, str], cwd: Path, enter: Callable[[], None] | None = None
) -> tuple[subprocess.Popen[str], Log]:
    """A process with a group of its own; everything it says goes to the log. `enter` is called in it first."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=enter,
    )
    return process, Log(process.stdout)


def stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM and the time to leave; then what is left of its group is killed."""
    try:
        process.terminate()
        process.wait(30)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(10)


def free_ports(count: int) -> list[int]:
    """Ports below those that the system hands out by itself, so that nobody gets one of them by chance."""
    found: list[int] = []
    first = 10000 + os.getpid() % 20000
    for port in range(first, first + 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


class Hub:
    """`python` is of the environment in which the Hub and all servers run; `environment` is what servers get on top.

    `more` is appended to its configuration, `before` the words that its command begins with, `enter` as for `start`."""

    def __init__(
        self,
        python: Path,
        state: Path,
        environment: dict[str, str],
        more: str = "",
        before: tuple[str, ...] = (),
        enter: Callable[[], None] | None = None,
    ) -> None:
        port, hub_port, proxy_port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.token = uuid.uuid4().hex
        config = state / "jupyterhub_config.py"
        config.write_text(
            CONFIG.format(
                port=port,
                hub_port=hub_port,
                proxy_port=proxy_port,
                state=state,
                python=python,
                token=self.token,
                environment=environment,
                deadline=DEADLINE,
                milliseconds=int(DEADLINE * 1000),
            )
            + more
        )
        own = {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(state)}
        command = [*before, str(python), "-m", "jupyterhub", "-f", str(config)]
        self.process, self.log = start(command, own, state, enter)
        try:
            self.log.wait("JupyterHub is now running at")
        except BaseException:
            stop(self.process)
            raise

    def stop(self) -> None:
        """The Hub ends the servers and its proxy."""
        stop(self.process)

    def api(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """A request to the Hub in the office's name."""
        return self.request(self.token, method, f"{self.url}/hub/api/{path}", **arguments)

    def request(self, token: str, method: str, url: str, **arguments: Any) -> requests.Response:
        answer = requests.request(
            method, url, headers={"Authorization": f"token {token}"}, timeout=DEADLINE, **arguments
        )
        assert answer.ok, f"{method} {url}: {answer.status_code} {answer.text}\n{self.log}"
        return answer


class Student:
    """A user of the Hub, with a server and kernels of their own."""

    def __init__(self, hub: Hub, account: Account) -> None:
        self.hub, self.account = hub, account
        self._place = f"users/{account.name}"
        hub.api("POST", self._place)
        self.token = hub.api("POST", f"{self._place}/tokens", json={"expires_in": 3600}).json()["token"]

    def start_server(self) -> None:
        """Returns when it answers."""
        self.hub.api("POST", f"{self._place}/server")
        with self.hub.api("GET", f"{self._place}/server/progress", stream=True) as events:
            for line in events.iter_lines():
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    assert not event.get("failed"), f"{event}\n{self.hub.log}"
                    if event.get("ready"):
                        return
        raise AssertionError(f"the server of {self.account.name} did not start\n{self.hub.log}")

    def stop_server(self) -> None:
        self.hub.api("DELETE", f"{self._place}/server")

    def rest(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """A request to the user's own server, through the proxy."""
        return self.hub.request(self.token, method, f"{self.hub.url}/user/{self.account.name}/api/{path}", **arguments)

    def start_kernel(self, **body: str) -> Kernel:
        kernel_id = self.rest("POST", "kernels", json={"name": "pupitre", **body}).json()["id"]
        return Kernel(self, kernel_id)


@dataclass
class Outcome:
    """What came of one cell."""

    reply: dict[str, Any] = field(default_factory=dict)
    text: str = ""  # of stdout and stderr
    data: list[dict[str, Any]] = field(default_factory=list)  # the bundles of displays and of the result


class Kernel:
    """One kernel of a student's, over the websocket that a browser opens."""

    def __init__(self, student: Student, kernel_id: str) -> None:
        self.student, self.kernel_id = student, kernel_id
        self.trace: list[str] = []
        self.session = uuid.uuid4().hex
        self._socket = self._open()

    def _open(self) -> websocket.WebSocket:
        student = self.student
        url = f"ws{student.hub.url[4:]}/user/{student.account.name}/api/kernels/{self.kernel_id}/channels"
        return websocket.create_connection(
            f"{url}?session_id={self.session}", header=[f"Authorization: token {student.token}"], timeout=DEADLINE
        )

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        """Returns the message's id."""
        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": kind,
            "session": self.session,
            "username": self.student.account.name,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": "5.4",
        }
        parts = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
        self._socket.send(json.dumps({"channel": channel, **parts}))
        return msg_id

    def receive(self, parent: str) -> dict[str, Any]:
        """The next message that answers the request."""
        end = time.monotonic() + DEADLINE
        while True:
            left = end - time.monotonic()
            assert left > 0, f"nothing more for {parent}:\n" + "\n".join(self.trace)
            self._socket.settimeout(left)
            try:
                message = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                continue
            asker = message["parent_header"].get("msg_id")
            self.trace.append(f"{asker} {message['msg_type']} {message['content']}"[:400])
            if asker == parent:
                return message

    def begin(self, code: str) -> str:
        """Send a cell; its id."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        return self.send("execute_request", {**content, "allow_stdin": False, "stop_on_error": True})

    def finish(self, msg_id: str) -> Outcome:
        """Everything until both the reply and idle are there."""
        outcome, idle = Outcome(), False
        while not (idle and outcome.reply):
            message = self.receive(msg_id)
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    outcome.text += content["text"]
                case "display_data" | "execute_result":
                    outcome.data.append(content["data"])
                case "execute_reply":
                    outcome.reply = content
                case "status":
                    idle = idle or content["execution_state"] == "idle"
        return outcome

    def run(self, code: str) -> Outcome:
        """A cell that must succeed."""
        outcome = self.finish(self.begin(code))
        assert outcome.reply["status"] == "ok", "\n".join(self.trace)
        return outcome

    def value(self, code: str) -> Any:
        """What the cell's lines leave in `value`, by JSON."""
        return json.loads(self.run(f"{code}\nimport json; print(json.dumps(value))").text)

    def interrupt(self) -> None:
        self.student.rest("POST", f"kernels/{self.kernel_id}/interrupt")

    def restart(self) -> None:
        """A browser keeps its websocket meanwhile; a new one sees no output of before."""
        self.student.rest("POST", f"kernels/{self.kernel_id}/restart")
        self._socket.close()
        self._socket = self._open()

    def shut_down(self) -> None:
        self._socket.close()
        self.student.rest("DELETE", f"kernels/{self.kernel_id}")
