# SPDX-License-Identifier: BSD-3-Clause
"""A kernel that a nursery forked is what the same kernel started cold is: the same parent starts both, in the same
folder made anew, and everything that a process and its Python can see of themselves is compared.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launch import Kernel, Owner
from nursery import AS_ROOT, NEIGHBOUR, USER, Nursery, born_in_nursery, started_cold
from raw import Client

PORTRAIT = Path(__file__).with_name("self_portrait.py").read_text()
PORTRAIT_SECONDS = 60.0  # it looks at everything, and imports much for that
Options = dict[str, Any]

# What may differ, and why. Nothing else may.
NUMBERS = "process numbers are new"
MEMORY = "another memory layout and history: that is what a nursery is for"
MAY_DIFFER = {
    **dict.fromkeys(("Tgid", "Pid", "NStgid", "NSpid", "NSpgid", "NSsid"), NUMBERS),
    "PPid": "the template is the parent; the front holds a pidfd",
    **dict.fromkeys(
        ("VmPeak", "VmSize", "VmLck", "VmPin", "VmHWM", "VmRSS", "VmData", "VmStk", "VmExe", "VmLib"), MEMORY
    ),
    **dict.fromkeys(("VmPTE", "VmSwap", "RssAnon", "RssFile", "RssShmem", "FDSize"), MEMORY),
    **dict.fromkeys(("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"), "how long it has run"),
    "SigQ": "counts the signals that wait for any process of the user",
    "THP_enabled": "huge pages would undo the sharing of memory (docs/memory.md)",
}
MAY_DIFFER = {f"status {name}": reason for name, reason in MAY_DIFFER.items()} | {
    "prctl huge pages off": "as THP_enabled",
    "exe": "the program that was executed is the template's",
    "cmdline": "the arguments of the program that was executed",
    "environ": "what was given to the program that was executed; os.environ, getenv and subprocesses see the user's",
    "prctl parent's death": "by it a stopped worker ends with its front; in a nursery the listener sees to that",
    "handler 62": "ours: Python did not see it being installed, and in a cold start it was there before Python",
    "handler 63": "as handler 62",
    "sys.builtin_module_names": "the template has one more, _nursery",
    "sys.flags.dont_write_bytecode": "flags cannot be changed; sys.dont_write_bytecode can, and is what decides",
    "session keyring": "one of the user's own with the user's keyring in it, as a login makes it",
    "matplotlib.pyplot interactive": "the inline backend is at work already; compared again after a figure",
    "descriptors of the nursery": "the memfd under the template's heap, sealed; see test_kept_apart.py",
    "atexit": "packages that were imported already have registered theirs",
    "sys.flags.utf8_mode": "in the C locale Python turns it on; the encodings, compared, are UTF-8 either way",
    "gc.get_freeze_count": "frozen objects are not looked at by the collector, and stay shared",
    "linecache": "the lines of packages that the rehearsal's tracebacks showed",
    "autogroup": "a number that is new with each session; its nice value is compared by itself",
}

MAY_HAVE_MORE = {"warnings.filters": "of the packages that were imported already, in front; see test_warnings.py"}


# -- the surroundings: each makes what it needs in the folder, and returns options of Kernel ---


def plain(home: Path) -> Options:
    return {}


def buffered(home: Path) -> Options:
    return {"env": {"PYTHONUNBUFFERED": "", "PYTHONDONTWRITEBYTECODE": ""}}


def stream_encoding(home: Path) -> Options:
    return {"env": {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "latin-1:replace"}}


def python_path(home: Path) -> Options:
    for name in ("first", "second"):
        (home / name).mkdir()
        (home / name / f"of_{name}.py").write_text(f"answer = {name!r}")
    return {"env": {"PYTHONPATH": f"{home}/first:{home}/second:/no/such/place"}}


def time_zone(home: Path) -> Options:
    return {"env": {"TZ": "Asia/Kathmandu"}}


def language(home: Path) -> Options:
    return {"env": {"LANG": "C.UTF-8", "LC_TIME": "POSIX", "LC_ALL": ""}}


def no_language(home: Path) -> Options:
    return {"env": {"LANG": "", "LC_ALL": "", "LC_CTYPE": ""}}


def umask(home: Path) -> Options:
    return {"process": {"umask": 0o077}}


def nice(home: Path) -> Options:
    return {"prefix": ["nice", "-n", "5"]}


def limits(home: Path) -> Options:
    limit = "ulimit -Sn 300; ulimit -Hn 900; ulimit -Su 3000; ulimit -Sc 0; ulimit -Ss 4096; ulimit -Sf 1000000"
    return {"prefix": ["bash", "-c", f'{limit}; exec "$@"', "bash"]}


def address_space(home: Path) -> Options:
    return {"prefix": ["bash", "-c", 'ulimit -v 8000000; exec "$@"', "bash"]}


def affinity(home: Path) -> Options:
    return {"prefix": ["taskset", "-c", str(max(os.sched_getaffinity(0)))]}


def idle_class(home: Path) -> Options:
    return {"prefix": ["ionice", "-c", "3", "chrt", "--idle", "0"]}


def out_of_memory_score(home: Path) -> Options:
    return {"prefix": ["bash", "-c", 'echo 321 >/proc/self/oom_score_adj; exec "$@"', "bash"]}


def core_filter(home: Path) -> Options:
    return {"prefix": ["bash", "-c", 'echo 0x7 >/proc/self/coredump_filter; exec "$@"', "bash"]}


def ipython_directory(home: Path) -> Options:
    return {"env": {"IPYTHONDIR": str(home / "elsewhere")}}


def configuration(home: Path) -> Options:
    profile = home / "ipython/profile_default"
    profile.mkdir(parents=True)
    lines = "c.InteractiveShell.ast_node_interactivity = 'all'\nc.InteractiveShellApp.exec_lines = ['configured = 1']\n"
    (profile / "ipython_config.py").write_text(lines)
    return {}


def startup_file(home: Path) -> Options:
    startup = home / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "10-first.py").write_text("import os\nstarted = os.getcwd()\n")
    (startup / "20-second.ipy").write_text("%alias_magic zeit time\n")
    return {}


def python_startup(home: Path) -> Options:
    (home / "startup.py").write_text("from_python_startup = __name__\n")
    return {"env": {"PYTHONSTARTUP": str(home / "startup.py")}}


def options_of_ipython(home: Path) -> Options:
    (home / "ipython/profile_other").mkdir(parents=True)
    return {"args": ["--InteractiveShell.cache_size=7", "--profile=other"]}


def directories(home: Path) -> Options:
    names = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")
    for name in names:
        (home / name).mkdir()
    return {"env": {name: str(home / name) for name in names}}


def matplotlib_directory(home: Path) -> Options:
    return {"env": {"MPLCONFIGDIR": str(home / "mpl")}}


def warnings_on(home: Path) -> Options:
    return {
        "env": {"PYTHONWARNINGS": "error::DeprecationWarning,ignore::ResourceWarning", "PYTHONPYCACHEPREFIX": "/tmp/p"}
    }


def narrow_terminal(home: Path) -> Options:
    return {"env": {"COLUMNS": "44"}}


def odd_environment(home: Path) -> Options:
    return {
        "env": {
            "EMPTY": "",
            "EQUALS": "a=b=c",
            "LINES": "one\ntwo",
            "BYTES": "caf\udce9",
            "ÜMLAUT": "ü",
            "LONG": "x" * 50000,
        }
    }


def no_home(home: Path) -> Options:
    return {"env": {"HOME": "/proc/nobody"}}


def groups(home: Path) -> Options:
    return {"owner": Owner(USER.uid, 23456, (23456, 34567, 34568, 45678))}


def neighbour(home: Path) -> Options:
    return {"owner": NEIGHBOUR}


def virtual_signals(home: Path) -> Options:
    """Started by something that ignores and blocks signals."""

    def spoil() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD})

    return {"process": {"preexec_fn": spoil}}


def leaked_descriptors(home: Path) -> Options:
    """Started by something that left files open, for whoever inherits them."""
    return {"prefix": ["bash", "-c", 'exec 7>leaked 9>leaked 40>leaked; exec "$@"', "bash"]}


def locked_memory(home: Path) -> Options:
    low = (65536, 65536)
    return {"process": {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, low)}}


def timer_slack(home: Path) -> Options:
    code = "import ctypes, os, sys; ctypes.CDLL(None).prctl(29, 123456); os.execvp(sys.argv[1], sys.argv[1:])"
    return {"prefix": [sys.executable, "-c", code]}


def quiet_front(home: Path) -> Options:
    return {"args": ["--no-stdout"]}


def user_site(home: Path) -> Options:
    place = home / f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    place.mkdir(parents=True)
    (place / "of_the_user.py").write_text("answer = 42")
    (place / "more.pth").write_text(f"{home}/more\n")
    (home / "more").mkdir()
    return {}


ANYBODY: list[Callable[[Path], Options]] = [
    plain, buffered, stream_encoding, python_path, time_zone, language, no_language, umask, nice, limits,
    address_space, affinity, idle_class, out_of_memory_score, core_filter, ipython_directory, configuration,
    startup_file, python_startup, options_of_ipython, directories, matplotlib_directory, warnings_on,
    narrow_terminal, odd_environment, no_home, virtual_signals, leaked_descriptors, locked_memory, timer_slack,
    quiet_front, user_site,
]  # fmt: skip
SOMEBODY: list[Callable[[Path], Options]] = [
    plain, umask, nice, limits, affinity, idle_class, out_of_memory_score, core_filter, configuration,
    directories, no_home, locked_memory, groups, neighbour,
]  # fmt: skip


class Comparison:
    """Two kernels, one after the other, in the same folder made anew: `picture(warm)` of each."""

    def __init__(self, nursery: Nursery, directory: Path, prepare: Callable[[Path], Options]) -> None:
        self.nursery, self.prepare = nursery, prepare
        self.home = directory / "home"
        self.socket = directory / "socket"

    def launch(self, warm: bool) -> Kernel:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        self.socket.unlink(missing_ok=True)
        if warm:  # the path is in both environments, and leads nowhere for one of the two
            self.socket.symlink_to(self.nursery.socket)
        options = {"owner": USER if self.nursery.system else None, **self.prepare(self.home)}
        env = {"HOME": str(self.home), "PUPITRE_NURSERY": str(self.socket), **options.pop("env", {})}
        return Kernel(self.home, env=env, **options)

    def picture(self, warm: bool, code: str = PORTRAIT, expression: str = "portrait()") -> Any:
        kernel = self.launch(warm)
        try:
            (born_in_nursery if warm else started_cold)(kernel)
            client = kernel.client()
            client.ok(code, PORTRAIT_SECONDS, silent=True, store_history=False)
            value = client.evaluate(expression, PORTRAIT_SECONDS)
            self.end(kernel, client)
        finally:
            kernel.close()
        return value

    @staticmethod
    def end(kernel: Kernel, client: Client) -> None:
        client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
        assert kernel.wait_exit() == 0


def differences(cold: dict[str, Any], warm: dict[str, Any]) -> list[str]:
    """What differs and is not in the table, a text for each."""
    found = []
    for name in sorted(cold.keys() | warm.keys()):
        if name in MAY_DIFFER or cold.get(name) == warm.get(name):
            continue
        if name in MAY_HAVE_MORE and warm[name][len(warm[name]) - len(cold[name]) :] == cold[name]:
            continue
        found.append(
            f"{name}:\n  cold {shorten(cold.get(name), warm.get(name))}\n"
            f"  warm {shorten(warm.get(name), cold.get(name))}"
        )
    return found


def shorten(value: Any, other: Any) -> str:
    """Of a collection only what the other one has not."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: item for key, item in value.items() if key not in other or other[key] != item}
    elif isinstance(value, list) and isinstance(other, list) and len(value) > 4:
        value = [item for item in value if item not in other] or value
    return textwrap.shorten(repr(value), 600)


def check(nursery: Nursery, directory: Path, prepare: Callable[[Path], Options]) -> None:
    comparison = Comparison(nursery, directory, prepare)
    mounts, before = Path("/proc/self/mountinfo"), ""
    while before != mounts.read_text():  # somebody mounted something meanwhile
        before = mounts.read_text()
        cold, warm = comparison.picture(False), comparison.picture(True)
    assert len(cold.keys() & warm.keys() - MAY_DIFFER.keys()) >= 60
    found = differences(cold, warm)
    print(f"{len(cold)} attributes compared")
    assert not found, f"{len(found)} of {len(cold)} differ:\n" + "\n".join(found)


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
@pytest.mark.parametrize("prepare", ANYBODY, ids=lambda prepare: prepare.__name__)
@pytest.mark.long
def test_alike(nursery: Nursery, directory: Path, prepare: Callable[[Path], Options]) -> None:
    check(nursery, directory, prepare)


if AS_ROOT:

    @pytest.mark.parametrize("nursery", ["system"], indirect=True)
    @pytest.mark.parametrize("prepare", SOMEBODY, ids=lambda prepare: prepare.__name__)
    @pytest.mark.long
    def test_alike_as_somebody(nursery: Nursery, directory: Path, prepare: Callable[[Path], Options]) -> None:
        check(nursery, directory, prepare)


def test_alike_can_fail(nursery: Nursery, directory: Path) -> None:
    """A difference is seen, whatever it is in: the same comparison, with surroundings that are not the same."""
    cold = Comparison(nursery, directory, plain).picture(False)

    def other(home: Path) -> Options:
        return {"prefix": ["nice", "-n", "5"], "process": {"umask": 0o077}, "env": {"TZ": "Asia/Kathmandu", "NEW": "1"}}

    found = "\n".join(differences(cold, Comparison(nursery, directory, other).picture(True)))
    for name in ("status Umask", "nice", "os.environ", "time.tzname", "a subprocess's environment", "umask", "writes"):
        assert f"{name}:" in found, found


def test_alike_ps(nursery: Nursery, directory: Path) -> None:
    """What an administrator sees in ps."""
    comparison = Comparison(nursery, directory, plain)
    kernel = comparison.launch(True)
    try:
        worker = born_in_nursery(kernel)
        words = ["ps", "-o", "comm=,uid=,gid=,ni=,sess=,pgid=,args=", "-p", str(worker.pid)]
        line = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        template = ["ps", "-o", "args=", "-p", str(nursery.template().pid)]
        assert subprocess.run(template, capture_output=True, text=True, check=True).stdout == "pupitre-template\n"
    finally:
        kernel.close()
    uid, gid = (USER.uid, USER.gid) if nursery.system else (os.geteuid(), os.getegid())
    assert line == ["pupitre-worker", str(uid), str(gid), "0", str(worker.pid), str(worker.pid), "pupitre-worker"]
