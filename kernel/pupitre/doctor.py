# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre doctor`: what this installation consists of, and what would go wrong with it.

Each check is a generator of findings about one thing. A finding is *fine*, *note* (works, but somebody may wonder) or
*wrong* (some kernel will not start, or not answer); one *wrong* makes the exit status 1. Nothing is
changed on the machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pupitre import cgroups, install, interpreter, version
from pupitre.nursery import status as nursery_status
from pupitre.nursery.messages import Op, Status, TemplateState

START_DEADLINE = 20.0  # seconds that a kernel may take to answer its first request
COMMAND_DEADLINE = 10.0  # seconds for a program that only prints
MEMORY_NEEDED = 256 << 20  # bytes of address space below which IPython does not start
MEMORY_RESIDENT = 64 << 20  # bytes of memory a kernel with IPython needs at the very least
NEEDED = {"ipython": (8, 18), "comm": (0, 2), "matplotlib-inline": (0, 1, 6), "traitlets": (5, 9)}


class Finding(NamedTuple):
    """One line of the report."""

    level: Literal["fine", "note", "wrong"]
    text: str


Findings = Iterator[Finding]


def fine(text: str) -> Finding:
    return Finding("fine", text)


def note(text: str) -> Finding:
    return Finding("note", text)


def wrong(text: str) -> Finding:
    return Finding("wrong", text)


def check_interpreter() -> Findings:
    """Python itself, and whether it can be embedded."""
    yield fine(f"Python {sys.version.split()[0]} at {sys.executable}, prefix {sys.prefix}")
    reason = interpreter.unfit()
    yield wrong(reason) if reason else fine(f"libpython at {interpreter.libpython()}")
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"):
        if os.environ.get(name):
            yield note(f"{name}={os.environ[name]} is set, and kernels inherit it")


def numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: "9.1rc2" is (9, 1)."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def check_packages() -> Findings:
    """The Python packages that a kernel cannot start without."""
    for name, oldest in NEEDED.items():
        wanted = ".".join(map(str, oldest))
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield wrong(f"{name} is not installed: pip install '{name}>={wanted}'")
            continue
        if numbers(found) < oldest:
            yield wrong(f"{name} {found} is too old: pip install '{name}>={wanted}'")
        else:
            yield fine(f"{name} {found}")


def output_of(*command: str) -> tuple[int, str]:
    """Exit status and joined output of a program that only prints; status 127 where it cannot be run."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_DEADLINE,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return 124, f"did not end within {COMMAND_DEADLINE:.0f} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.strip()


def worker_program() -> Path:
    """Where pupitre-kernel will look for the worker first."""
    own = os.environ.get("PUPITRE_WORKER")
    return Path(own) if own else install.kernel_program().parent.parent / "libexec" / "pupitre" / "pupitre-worker"


def check_programs() -> Findings:
    """The two executables and the shared libraries they want."""
    for program in (install.kernel_program(), worker_program()):
        if not os.access(program, os.X_OK):
            yield wrong(f"{program} is missing or not executable: pip install --force-reinstall pupitre")
            continue
        yield fine(str(program))
        status, text = output_of("ldd", str(program))
        lost = re.findall(r"^\s*(\S+) => not found", text, re.MULTILINE)
        if status == 0 and lost:
            yield wrong(f"{program.name} does not find {', '.join(lost)}")
    status, text = output_of(str(install.kernel_program()), "--version")
    if status != 0:
        yield wrong(f"pupitre-kernel --version ends with {status}: {text[-300:]}")
        return
    lines = text.splitlines()
    for line in lines:
        yield fine(line)
    if lines and version() not in lines[0]:
        yield wrong(f"the Python package is {version()}, the program is {lines[0]}: install it again")


def kernel_folders() -> list[Path]:
    """The folders in which the Jupyter of this environment looks for kernelspecs, first match first."""
    listed = [Path(part) for part in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if part]
    user, environment = install.user_data(), Path(sys.prefix) / "share" / "jupyter"
    # jupyter_core: in an environment of its own, what is installed there comes before what the user has.
    prefer = os.environ.get("JUPYTER_PREFER_ENV_PATH", "").lower()
    own_first = prefer not in ("no", "n", "false", "off", "0", "0.0") if prefer else sys.prefix != sys.base_prefix
    listed += [environment, user] if own_first else [user, environment]
    listed += [Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter")]
    return [folder / "kernels" for folder in dict.fromkeys(listed)]


def program_of(folder: Path) -> Path | None:
    """The program that a kernelspec starts; None where there is no spec."""
    spec = install.read_spec(folder)
    argv = spec.get("argv") if spec else None
    if not isinstance(argv, list) or not argv:
        return None
    return Path(os.path.normpath(str(argv[0]).replace("{resource_dir}", str(folder)).replace("{prefix}", sys.prefix)))


def check_kernelspec() -> Findings:
    """Which kernelspec named pupitre Jupyter will take, and whether what stands in for others still works."""
    found = [folder / install.DEFAULT_NAME for folder in kernel_folders()]
    found = [folder for folder in found if install.read_spec(folder) is not None]
    ours = os.path.realpath(install.kernel_program())
    if not found:
        yield note("no kernelspec named pupitre where Jupyter of this environment looks: pupitre install")
    for rank, folder in enumerate(found):
        program = program_of(folder)
        same = program is not None and os.path.realpath(program) == ours
        if rank == 0 and same:
            yield fine(f"kernelspec {folder}")
        elif rank == 0:
            yield wrong(f"the kernelspec at {folder} comes first, and starts {program}, not {ours}")
        elif not same:
            yield note(f"the kernelspec at {folder} starts {program}, but is hidden by the one above")
    for parent in kernel_folders():
        for folder in sorted(parent.glob("*")):
            program = program_of(folder)
            if program is None or os.access(program, os.X_OK):
                continue
            if install.is_ours(folder):
                yield wrong(f"the kernelspec at {folder} starts {program}, which is gone")
            elif program.name == install.kernel_program().name:
                yield wrong(
                    f"the kernelspec at {folder} was copied, and starts {program}, which is not there: remove it, and "
                    "let `pupitre install` write one, which may be copied anywhere"
                )


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the nearest parent that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def runtime_folder() -> Path:
    """Jupyter's runtime directory, where connection files are."""
    own = os.environ.get("JUPYTER_RUNTIME_DIR")
    return Path(own) if own else install.user_data() / "runtime"


def check_folders() -> Findings:
    """Home, IPython's and Jupyter's directories."""
    home = Path.home()
    if not writable(home):
        yield note(f"{home} cannot be written: kernels start, but IPython keeps no history and no settings")
    ipython = Path(os.environ.get("IPYTHONDIR") or home / ".ipython")
    if writable(ipython):
        yield fine(f"IPython directory {ipython}")
    else:
        yield note(f"{ipython} cannot be written: history lasts only as long as the kernel")
    runtime = runtime_folder()
    if not writable(runtime):
        yield wrong(f"{runtime} cannot be written: Jupyter puts connection files there (set JUPYTER_RUNTIME_DIR)")
    elif runtime.exists() and runtime.stat().st_uid != os.getuid():
        yield wrong(f"{runtime} belongs to somebody else, who can read the keys of your kernels")
    elif runtime.exists() and stat.S_IMODE(runtime.stat().st_mode) & 0o022:
        yield wrong(f"{runtime} can be written by others: chmod 700 {runtime}")
    else:
        yield fine(f"runtime directory {runtime}")
    if not writable(Path(tempfile.gettempdir())):
        yield note(f"{tempfile.gettempdir()} cannot be written: %%bash and many libraries need it")


def limits_of(controller: str) -> Iterator[tuple[float, str]]:
    """The limits of one kind that hold for this process: bytes, tasks or processors, and what makes it."""
    if found := cgroups.tightest(controller):
        yield found[0], f"for all processes of the cgroup together (cgroup version {found[1]})"
    rlimits = {
        "memory": ((resource.RLIMIT_DATA, "d"), (resource.RLIMIT_AS, "v")),
        "pids": ((resource.RLIMIT_NPROC, "u"),),
    }
    for which, letter in rlimits.get(controller, ()):
        limit = resource.getrlimit(which)[0]
        if limit != resource.RLIM_INFINITY and not (controller == "pids" and os.geteuid() == 0):  # root has none
            yield limit, f"for {'this user' if controller == 'pids' else 'each process'} (rlimit, ulimit -{letter})"


def check_limits() -> Findings:
    """What the kernel of the machine allows a process of this user, and by what."""
    for controller, what in cgroups.CONTROLLERS.items():
        limits = list(limits_of(controller))
        said = [f"{limit / 2**20:.0f} MB" if controller == "memory" else f"{limit:g}" for limit, _ in limits]
        text = "; ".join(f"{amount} {by}" for amount, (_, by) in zip(said, limits, strict=True))
        yield fine(f"{what}: {text or 'no limit'}")
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY:
        level = wrong if space < MEMORY_NEEDED else note
        yield level(f"address space is limited to {space >> 20} MB (ulimit -v): beyond it a cell gets MemoryError")
    memory, tasks = cgroups.tightest("memory"), cgroups.tightest("pids")
    if memory and memory[0] < MEMORY_RESIDENT:
        yield wrong(f"{memory[0] / 2**20:.0f} MB of memory are too few: a kernel needs {MEMORY_RESIDENT >> 20} MB")
    if tasks and tasks[0] < 16:
        yield wrong(f"only {tasks[0]:g} processes and threads are allowed by the cgroup: one kernel is two processes")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < 128:
        yield wrong(f"only {files} open files are allowed (ulimit -n): a kernel with libraries needs 128")
    yield fine(f"{files} open files")


def check_nursery() -> Findings:
    """Whether kernels are forked from a warm Python, asked of pupitre-kernel itself. Not having one is fine."""
    if not os.access(install.kernel_program(), os.X_OK):
        return
    status, text = output_of(str(install.kernel_program()), "--ask-nursery")
    word, _, answer = text.partition(": ")
    reason = answer.partition(" start the ordinary way: ")[2]
    if (status, word) not in ((0, "yes"), (1, "no")):
        yield wrong(f"pupitre-kernel --ask-nursery ends with {status}: {text[-300:]}")
    elif status == 0:
        yield fine(answer)
        yield from packages_left_out()
    elif reason == "no nursery listens":
        yield fine("none: each kernel starts a Python of its own")
    else:
        yield note(f"not used, kernels start the ordinary way: {reason}")


def packages_left_out() -> Findings:
    """What the nursery that kernels ask was to import and does without."""
    try:
        said = nursery_status.ask(None, Op.STATUS, nursery_status.ANSWER_DEADLINE)[1]
    except nursery_status.Unreachable:
        return
    for template in (template for message in said if isinstance(message, Status) for template in message.templates):
        if template.state == TemplateState.READY:
            yield from (note(f"it leaves out {package}") for package in nursery_status.left_out(template.text))


def origin_of(log: str) -> Finding:
    """How a kernel came by its Python, from the lines that it logs with -v."""
    if "start=nursery" in log:
        return fine("its Python was copied from the nursery's")
    reason = re.search(r'event=cold reason="([^"]*)"', log)
    if reason is None or reason[1] == "no nursery listens":
        return fine("its Python was started for it")
    return note(f"its Python was started the ordinary way, not copied from the nursery's: {reason[1]}")


def run_kernel(folder: Path) -> Findings:
    """Start a kernel on sockets in `folder` and let it compute 1+1."""
    from jupyter_client.blocking.client import BlockingKernelClient

    connection = {
        "transport": "ipc",
        "ip": str(folder / "k"),
        "key": "pupitre-doctor",
        "signature_scheme": "hmac-sha256",
        **{f"{channel}_port": port for port, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)},
    }
    file = folder / "kernel.json"
    file.write_text(json.dumps(connection))
    with (folder / "log").open("w+b") as log:
        kernel = subprocess.Popen(
            [install.kernel_program(), "-v", "-f", file], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        client = BlockingKernelClient(connection_file=str(file))
        try:
            client.load_connection_file()
            client.start_channels()
            client.wait_for_ready(timeout=START_DEADLINE)
            reply = client.execute_interactive(
                "", user_expressions={"sum": "1+1"}, store_history=False, timeout=START_DEADLINE
            )
            value = reply["content"]["user_expressions"]["sum"]["data"]["text/plain"]
            yield (
                fine("a kernel starts and computes 1+1")
                if value == "2"
                else wrong(f"a kernel says that 1+1 is {value}")
            )
            yield origin_of((folder / "log").read_text(errors="replace"))
        except (RuntimeError, TimeoutError, KeyError) as error:
            status = kernel.poll()
            log.seek(0)
            said = log.read().decode(errors="replace").strip()[-500:]
            ended = f"ended with {status}" if status is not None else f"gave no answer ({error})"
            yield wrong(f"a kernel started for a trial {ended}: {said or 'it said nothing'}")
        finally:
            client.stop_channels()
            kernel.kill()
            kernel.wait()


def check_start() -> Findings:
    """The whole thing, once."""
    if not os.access(install.kernel_program(), os.X_OK):
        return
    try:
        import jupyter_client  # noqa: F401
    except ImportError:
        yield note("no trial start: jupyter_client is not installed here")
        return
    with tempfile.TemporaryDirectory(prefix="pupitre-") as folder:
        yield from run_kernel(Path(folder))


CHECKS: dict[str, Callable[[], Findings]] = {
    "interpreter": check_interpreter,
    "packages": check_packages,
    "programs": check_programs,
    "kernelspec": check_kernelspec,
    "folders": check_folders,
    "limits": check_limits,
    "nursery": check_nursery,
    "start": check_start,
}


def run(options: argparse.Namespace) -> int:
    """The command; 1 if something is wrong."""
    sign = {"fine": "ok   ", "note": "note ", "wrong": "WRONG"}
    count = 0
    print(f"pupitre {version()}")
    for title, check in CHECKS.items():
        for finding in check():
            count += finding.level == "wrong"
            if finding.level != "fine" or not options.quiet:
                print(f"{sign[finding.level]}  {title:<11}  {finding.text}", flush=True)
    print(f"{count} wrong: see above" if count else "nothing wrong")
    return 1 if count else 0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "doctor",
        help="say what this installation consists of and what would go wrong",
        description="Look at Python, libraries, kernelspecs, folders, limits and nursery, and start a kernel once.",
        epilog="exit codes: 0 nothing wrong, 1 something will not work",
    )
    parser.add_argument("--quiet", action="store_true", help="leave out what is fine")
    parser.set_defaults(run=run)
