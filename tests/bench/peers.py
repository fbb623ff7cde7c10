# SPDX-License-Identifier: BSD-3-Clause
"""The kernels that are compared: where they come from, how one is started, what it weighs, how it ends.

A kernel is found as Jupyter finds it, by its kernelspec; `--prefix` names another environment in which to look first.
The floor is compiled from floor.c.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path
from pupitre.nursery.weigh import family, parents, watched

from .wire import RawClient

KERNELSPECS = {"pupitre": "pupitre", "ipykernel": "python3", "xeus-python": "xpython"}
FLOOR = "floor"
COLD = "cold"  # Pupitre without a nursery, where its column is one with a nursery
OURS = ("pupitre", COLD)
PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
PYTHON = re.compile(r"python(3(\.\d+)?)?")


@dataclass(frozen=True)
class Kind:
    """One column of the table: a name and the command that starts such a kernel."""

    name: str
    argv: tuple[str, ...]
    version: str
    nursery: str = "off"  # what PUPITRE_NURSERY says: the socket of a nursery, or that none is asked


def find_kind(name: str, prefixes: list[Path]) -> Kind | None:
    """The kernel of this column, from the first place that has its kernelspec. None when it is not installed."""
    places = [Path(place) for place in jupyter_path("kernels")]
    places[:0] = [prefix / "share" / "jupyter" / "kernels" for prefix in prefixes]
    for place in places:
        folder = place / KERNELSPECS[name]
        file = folder / "kernel.json"
        if not file.is_file():
            continue
        argv = [word.replace("{resource_dir}", str(folder)) for word in json.loads(file.read_text())["argv"]]
        prefix = folder.parents[3]
        if PYTHON.fullmatch(argv[0]):
            own = prefix / "bin" / "python"
            argv[0] = str(own) if own.exists() else sys.executable
        return Kind(name, tuple(argv), _version(name, prefix))
    return None


def _version(name: str, prefix: Path) -> str:
    python = prefix / "bin" / "python"
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    words = [str(python) if python.exists() else sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or "version unknown"


def build_floor(folder: Path) -> Kind:
    """Compile the floor. subprocess.CalledProcessError with the compiler's words on stderr when it cannot be."""
    source, program = Path(__file__).with_name("floor.c"), folder / "floor"
    options = ["-O2", "-Wno-deprecated-declarations"]
    libraries = ["-lzmq", "-lcrypto"]
    words = [os.environ.get("CC", "cc"), *options, str(source), "-o", str(program), *libraries]
    subprocess.run(words, check=True, timeout=120)
    return Kind(FLOOR, (str(program), "-f", "{connection_file}"), "")


def free_ports(count: int) -> list[int]:
    """Free ports of the loopback address, none twice in one run, and below those that connections get: a client that
    tries again and again would take the port that its kernel is about to bind."""
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def _quiet_ports() -> Iterator[int]:
    """Ports below those of connections, from a random one on, round and round."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(end // 2, end)
    first = random.randrange(len(ports))
    return itertools.cycle([*ports[first:], *ports[:first]])


_ports = _quiet_ports()


def descendants_of(pids: list[int]) -> list[int]:
    """These processes and all below them, each once, parents first."""
    return family(pids, parents())


def workers(front: int) -> list[int]:
    """The processes that a front watches: a worker is not always its child."""
    return watched(front, {front: parent(front)})


def parent(pid: int) -> int:
    """The parent of a process; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def private_mb(pid: int) -> float:
    """Private_Clean + Private_Dirty of one process in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M)) / 1024


def available_mb() -> float:
    """MemAvailable of the machine in MiB."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    assert found
    return int(found[1]) / 1024


def context_switches(pid: int) -> int:
    """Voluntary and other context switches of all threads of one process since it began."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status.read_text()))
    return total


def environment(kind: Kind, home: Path) -> dict[str, str]:
    """What a kernel of the bench sees: the caller's, with folders of its own for history and profile."""
    own = {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    return dict(os.environ) | own | {"JPY_PARENT_PID": str(os.getpid()), "PUPITRE_NURSERY": kind.nursery}


def command(kind: Kind, file: Path) -> list[str]:
    """The words that start a kernel on this connection file."""
    return [word.replace("{connection_file}", str(file)) for word in kind.argv]


class Kernel:
    """One running kernel, started now. A context manager: leaving it ends the kernel and everything below it."""

    def __init__(self, kind: Kind, home: Path) -> None:
        self.kind = kind
        self._clients: list[RawClient] = []
        self.connection: dict[str, Any] = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.connection |= {"transport": "tcp", "ip": "127.0.0.1", "key": uuid.uuid4().hex}
        self.connection |= {"signature_scheme": "hmac-sha256", "kernel_name": kind.name}
        self.file = home / f"kernel-{uuid.uuid4().hex}.json"
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(self.connection))
        quiet = subprocess.DEVNULL
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command(kind, self.file),
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,
            env=environment(kind, home),
            cwd=home,
        )

    def client(self, receive_hwm: int = 0) -> RawClient:
        made = RawClient(self.connection, self.death, receive_hwm)
        self._clients.append(made)
        return made

    def death(self) -> str | None:
        """How the kernel ended, in words; None while it lives."""
        status = self.process.poll()
        if status is None:
            return None
        return f"died ({signal.Signals(-status).name})" if status < 0 else f"exited ({status})"

    def pids(self) -> list[int]:
        """Every process of the kernel, the one that was started here first."""
        front = self.process.pid
        return descendants_of([front, *(workers(front) if self.kind.name in OURS else [])])

    def private_mb(self) -> float:
        return sum(private_mb(pid) for pid in self.pids())

    def context_switches(self) -> int:
        return sum(context_switches(pid) for pid in self.pids())

    def cpu_seconds(self) -> float:
        """Processor time used by all processes since they began."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(after_name[11]) + int(after_name[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def interrupt(self) -> None:
        """What jupyter_client does for Stop: SIGINT to the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for pid in reversed(self.pids() if self.process.poll() is None else []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self.file.unlink(missing_ok=True)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pupitre-bench-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "runtime").mkdir(mode=0o700)
        yield Path(folder)
