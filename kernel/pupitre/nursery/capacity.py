# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre capacity`: how many students fit on this machine, with the packages that are installed here.

Starts some kernels, takes them through a lesson, measures what each costs, does the same with the installed ipykernel,
and divides. The nursery that kernels of this user would ask is used; without one a private nursery is started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pupitre import cgroups, doctor, install, version
from pupitre.nursery import chart, glance, messages, settings, status, weigh
from pupitre.nursery.classroom import STAGES, Step, steps_of, write_csv
from pupitre.nursery.fit import Machine, Report
from pupitre.nursery.weigh import Kind, Lesson, Trouble

READY_SECONDS = 300.0  # for a private nursery: imports and rehearsal
END_SECONDS = 10.0
MOST_KERNELS = 5000
RESERVE_SHARE, RESERVE_LEAST = 0.1, 512.0  # of all memory; MiB
TASKS_SHARE = 0.9  # of kernel.pid_max


def look_at_machine(reserve: float | None) -> Machine:
    """What is free now, in this cgroup too. Raises Trouble."""
    total, free = weigh.meminfo("MemTotal"), weigh.available()
    limit = cgroups.tightest("memory")
    if limit is not None:
        total, free = min(total, limit[0] / 2**20), min(free, limit[0] / 2**20)
    if reserve is None:
        reserve = max(RESERVE_LEAST, RESERVE_SHARE * total)
    running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    most = int(int(Path("/proc/sys/kernel/pid_max").read_text()) * TASKS_SHARE)
    return Machine(total, free, reserve, max(0, most - running))


# --- the kernels ---


def kernel_program() -> str:
    """Our pupitre-kernel. Raises Trouble."""
    program = os.environ.get("PUPITRE_KERNEL_BIN") or str(install.kernel_program())
    if not os.access(program, os.X_OK):
        raise Trouble(f"{program} is missing: install the package again (pip install --force-reinstall pupitre)")
    return program


def find_ipykernel() -> Kind | None:
    """The ipykernel that Jupyter of this environment would start as python3, also where ours stands in for it."""
    for folder in doctor.kernel_folders():
        for place in (folder / "python3", folder / "python3" / install.SET_ASIDE):
            argv = (install.read_spec(place) or {}).get("argv")
            if isinstance(argv, list) and any("ipykernel" in str(word) for word in argv):
                prefix = folder.parent.parent.parent
                found = _ipykernel([str(word) for word in argv], prefix)
                if found is not None:
                    return found
    return None


def _ipykernel(argv: list[str], prefix: Path) -> Kind | None:
    """The kind that this command is; None where it does not run."""
    if not os.path.isabs(argv[0]):
        own = prefix / "bin" / "python"
        argv[0] = str(own) if own.exists() else sys.executable
    words = [argv[0], "-c", "import ipykernel; print(ipykernel.__version__)"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Kind(f"ipykernel {done.stdout.strip()}", argv) if done.returncode == 0 else None


def asked_nursery(program: str, environment: Mapping[str, str]) -> bool:
    """Whether a kernel started so would be forked by a nursery."""
    words = [program, "--ask-nursery"]
    try:
        done = subprocess.run(words, capture_output=True, timeout=30, check=False, env={**os.environ, **environment})
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextlib.contextmanager
def private_nursery(folder: Path, config: str | None) -> Iterator[str]:
    """A nursery of our own, with the packages and the rehearsal that the machine's one would have; its socket."""
    socket = folder / "n" / "nursery.sock"
    words = [sys.executable, "-m", "pupitre.cli", "nursery", "--socket", str(socket), *_options_of(config)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            _await_ready(process, log)
            yield str(socket)
        finally:
            process.terminate()
            try:
                process.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=END_SECONDS)
            if process.stdout is not None:
                process.stdout.close()


def _options_of(config: str | None) -> list[str]:
    """--config as given; without it, and without a file of this user, what the machine's file says of the template."""
    if config is not None:
        return ["--config", config]
    if settings.default_file(system=False).exists() or not settings.SYSTEM_FILE.exists():
        return []
    values = settings.read_file(settings.SYSTEM_FILE)
    words = []
    for name in ("python", "import", "rehearsal", "without"):
        value = values.get(name)
        for word in value if isinstance(value, list) else [value] if value else []:
            words += [f"--{name}", word]
    return words


def _await_ready(process: subprocess.Popen[bytes], log: Any) -> None:
    """Until it says ready. Raises Trouble with its own last words."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_SECONDS
    said = b""
    while b"ready" not in said:
        readable = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
        chunk = os.read(process.stdout.fileno(), 4096) if readable else b""
        if not chunk:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            words = lines[-1] if lines else "it says nothing"
            raise Trouble(f"no nursery could be started: {words}" if readable else f"the nursery is not ready: {words}")
        said += chunk


def fixed_cost(socket: str) -> float:
    """MiB of listener and template, which are there once. Raises Trouble."""
    try:
        found = status.ask(socket, messages.Op.STATUS, status.ANSWER_DEADLINE)[1][0]
    except status.Unreachable as error:
        raise Trouble(str(error)) from None
    if not isinstance(found, messages.Status):
        raise Trouble(f"the nursery at {socket} does not say its status")
    pids = [found.pid, *(template.pid for template in found.templates if template.pid > 0)]
    return sum(glance.memory_of(pid).proportional or 0 for pid in pids) / 1024


def refuse_cold(kernels: list[weigh.Kernel]) -> None:
    """Raises Trouble unless a nursery forked all of them."""
    if not all(kernel.is_forked() for kernel in kernels):
        raise Trouble("kernels of this user start cold, the nursery does not fork them: pupitre doctor says why")


# --- measuring ---


def measure(options: argparse.Namespace) -> Report:
    """Everything that the command does but telling it. Raises Trouble, or OSError and ValueError for a bad notebook."""
    program = kernel_program()
    stages = stages_of(options.notebook)
    peer = None if options.alone else find_ipykernel()
    with tempfile.TemporaryDirectory(prefix="pupitre-capacity-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        cwd = options.notebook.resolve().parent if options.notebook else folder
        if not options.notebook:
            write_csv(folder)
        machine = look_at_machine(options.reserve)
        own = {"IPYTHONDIR": str(folder / "ipython")}
        if options.socket:
            own[messages.SOCKET_VARIABLE] = options.socket
        nursery, fixed = "the running one", 0.0
        if options.private or not asked_nursery(program, own):
            if options.socket:
                raise Trouble(f"the nursery at {options.socket} would not fork a kernel of yours: pupitre doctor")
            say("warming a private nursery")
            socket = stack.enter_context(private_nursery(folder, options.config))
            own[messages.SOCKET_VARIABLE] = socket
            nursery, fixed = "a private one", fixed_cost(socket)
        say(f"taking {options.kernels} kernels of Pupitre through the lesson")
        ours = Kind(f"Pupitre {version()}", [program, "-f", "{connection_file}"], own)
        places, seconds = (folder, cwd), options.deadline
        lessons = [weigh.teach(ours, options.kernels, stages, places, seconds, refuse_cold)]
        if peer is not None:
            lessons += teach_peer(peer, options, stages, places)
        elif not options.alone:
            say("there is no ipykernel to compare with")
        return Report(machine, options.kernels, nursery, fixed, options.extra, lessons)


def teach_peer(
    peer: Kind, options: argparse.Namespace, stages: Mapping[str, list[Step]], places: tuple[Path, Path]
) -> list[Lesson]:
    """The same lesson for the installed ipykernel; nothing when that does not work, which is told."""
    say(f"taking {options.kernels} kernels of {peer.name} through the lesson")
    kind = Kind(peer.name, peer.argv, {"IPYTHONDIR": str(places[0] / "ipython")})
    try:
        return [weigh.teach(kind, options.kernels, stages, places, options.deadline)]
    except Trouble as why:
        say(f"not compared: {why}")
        return []


def stages_of(notebook: Path | None) -> Mapping[str, list[Step]]:
    """The built-in lesson, or the code cells of a notebook. OSError or ValueError for one that cannot be read."""
    if notebook is None:
        return STAGES
    steps = steps_of(notebook)
    if not steps:
        raise ValueError(f"{notebook} has no code cell")
    return {"ready": [], "notebook": steps}


def say(line: str) -> None:
    print(f"pupitre capacity: {line}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """The command; its exit status."""
    previous = signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that the kernels end with us
    try:
        if options.plot is not None:
            chart.refuse_plot(options.plot)
        report = measure(options)
        if options.json:
            print(json.dumps(report.as_json(), indent=1))
        else:
            print("\n".join(chart.text(report)))
        if options.plot is not None:
            chart.draw(report, options.plot)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (Trouble, settings.Wrong, ValueError, OSError) as error:
        print(f"pupitre capacity: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def count(text: str) -> int:
    """argparse type: how many kernels."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_KERNELS:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 to {MOST_KERNELS}")
    return int(text)


def amount(text: str) -> float:
    """argparse type: MB or seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number that is not negative")
    return value


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "capacity",
        help="measure how many students fit on this machine, with its packages, beside ipykernel",
        description="Start kernels, take them through a lesson, measure what each costs, beside the installed "
        "ipykernel, and say how many fit into the memory that is available now. Sizes are in MB of 2^20 bytes.",
    )
    parser.add_argument(
        "--kernels", type=count, default=5, metavar="N", help="how many of each kind (default: 5; more say it better)"
    )
    parser.add_argument(
        "--notebook", type=Path, metavar="FILE", help="run this course's notebook, not the built-in lesson"
    )
    parser.add_argument("--deadline", type=amount, default=120.0, metavar="SECONDS", help="for one cell (default: 120)")
    parser.add_argument(
        "--reserve", type=amount, metavar="MB", help="memory to leave alone (default: a tenth of all, at least 512)"
    )
    parser.add_argument(
        "--extra",
        type=amount,
        default=0.0,
        metavar="MB",
        help="what else each student needs: a Jupyter server of their own",
    )
    parser.add_argument("--alone", action="store_true", help="do not measure ipykernel")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--socket", metavar="PATH", help="use the nursery there")
    which.add_argument("--private", action="store_true", help="start a nursery for this, even if one runs")
    parser.add_argument("--config", metavar="FILE", help="settings of the private nursery, as of `pupitre nursery`")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it there, too (PNG; needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)
