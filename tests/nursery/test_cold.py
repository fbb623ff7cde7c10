# SPDX-License-Identifier: BSD-3-Clause
"""When something about the caller or the template is not as it must be, the kernel starts cold, without a word, and
the nursery says why.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launch import Kernel
from nursery import AS_ROOT, DEADLINE, Begin, Nursery, Prepare, Start, python_of, started_cold
from pupitre.nursery.messages import Op

Options = dict[str, Any]


def works(kernel: Kernel) -> None:
    """What a cold kernel does that a client notices: everything, and nothing of what happened before."""
    client = kernel.client()
    assert client.ok("1+1").text == "2"
    result = client.ok("import sys; print('out'); print('err', file=sys.stderr)")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


# -- the caller ---


def module_of_numpy(home: Path) -> Options:
    (home / "numpy.py").write_text("mine = True")
    return {}


def package_of_pandas(home: Path) -> Options:
    (home / "pandas").mkdir()
    (home / "pandas/__init__.py").write_text("mine = True")
    return {}


def csv_on_python_path(home: Path) -> Options:
    (home / "path").mkdir()
    (home / "path/csv.py").write_text("mine = True")
    return {"env": {"PYTHONPATH": str(home / "path")}}


def hash_seed(home: Path) -> Options:
    return {"env": {"PYTHONHASHSEED": "0"}}


def development_mode(home: Path) -> Options:
    return {"env": {"PYTHONDEVMODE": "1"}}


def python_malloc(home: Path) -> Options:
    return {"env": {"PYTHONMALLOC": "malloc"}}


def malloc_setting(home: Path) -> Options:
    return {"env": {"MALLOC_PERTURB_": "7"}}


def preloaded_library(home: Path) -> Options:
    return {"env": {"LD_PRELOAD": "libm.so.6"}}


def more_threads(home: Path) -> Options:
    return {"env": {"OMP_NUM_THREADS": "4"}}


def latin_1(home: Path) -> Options:
    return {"env": {"LC_ALL": "en_US.ISO-8859-1"}}


def other_backend(home: Path) -> Options:
    return {"env": {"MPLBACKEND": "agg"}}


def matplotlibrc(home: Path) -> Options:
    (home / "matplotlibrc").write_text("lines.linewidth: 7\n")
    return {}


def matplotlib_style(home: Path) -> Options:
    (home / ".config/matplotlib/stylelib").mkdir(parents=True)
    return {"env": {"XDG_CONFIG_HOME": str(home / ".config")}}


def deleted_folder(home: Path) -> Options:
    place = home / "gone"
    place.mkdir()
    return {"process": {"cwd": place}, "prefix": ["sh", "-c", f'rmdir {place}; exec "$@"', "sh"]}


def off(home: Path) -> Options:
    return {"env": {"PUPITRE_NURSERY": "off"}}


def nobody_listens(home: Path) -> Options:
    return {"env": {"PUPITRE_NURSERY": str(home / "nothing")}}


def no_new_privileges(home: Path) -> Options:
    return {"prefix": ["setpriv", "--no-new-privs"]}


def namespaces(home: Path) -> Options:
    return {"prefix": ["unshare", "--uts", "--ipc"]}


def user_namespace(home: Path) -> Options:
    return {"prefix": ["unshare", "--user", "--map-root-user"]}


def mount_namespace(home: Path) -> Options:
    return {"prefix": ["unshare", "--mount"]}


def network_namespace(home: Path) -> Options:
    return {"prefix": ["unshare", "--net"]}


REASONS: list[tuple[Callable[[Path], Options], str]] = [
    (module_of_numpy, ""),
    (package_of_pandas, ""),
    (csv_on_python_path, ""),
    (hash_seed, ""),
    (development_mode, ""),
    (python_malloc, ""),
    (malloc_setting, ""),
    (preloaded_library, ""),
    (more_threads, ""),
    (latin_1, ""),
    (other_backend, ""),
    (matplotlibrc, ""),
    (matplotlib_style, ""),
    (deleted_folder, ""),
    (off, ""),
    (nobody_listens, ""),
    (no_new_privileges, "NO_NEW_PRIVS"),
]
if AS_ROOT:
    REASONS += [
        (namespaces, "OTHER_NAMESPACE"),
        (user_namespace, "OTHER_NAMESPACE"),
        (mount_namespace, "OTHER_NAMESPACE"),
        (network_namespace, "OTHER_NAMESPACE"),
    ]


@pytest.mark.parametrize(("prepare", "reason"), REASONS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_cold_caller(nursery: Nursery, start: Start, prepare: Prepare, reason: str) -> None:
    refused = nursery.status().refused
    kernel = start(nursery, cold=True, prepare=prepare)
    started_cold(kernel)
    works(kernel)
    if reason:
        assert nursery.status().refused.get(reason, 0) == refused.get(reason, 0) + 1
    nursery.wait_empty()


# -- the template ---


def test_cold_other_python(nursery: Nursery, start: Start, environment: Path) -> None:
    """A kernel of another virtual environment gets that environment, not the nursery's."""
    (environment / "only_here.py").write_text("answer = 42")
    kernel = start(nursery, cold=True, env={"PUPITRE_PYTHON": python_of(environment)})
    started_cold(kernel)
    assert kernel.client().ok("import only_here; only_here.answer").text == "42"
    assert nursery.status().refused.get("OTHER_PYTHON", 0) >= 1


@pytest.mark.long
def test_cold_packages_changed(begin: Begin, start: Start, environment: Path) -> None:
    """pip install while a nursery runs: nobody gets a mixture; a new template is built, which has what is new."""
    env = {"PUPITRE_PYTHON": python_of(environment)}
    (environment / "lesson.py").write_text("number = 1")
    nursery = begin("--python", python_of(environment), "--import", "lesson")
    before = start(nursery, env=env)
    old = nursery.template()
    assert before.client().ok("import lesson; lesson.number").text == "1"
    (environment / "lesson.py").write_text("number = 2")
    (environment / "another.py").write_text("")
    kernel = start(nursery, cold=True, env=env)
    started_cold(kernel)
    assert kernel.client().ok("import lesson; lesson.number").text == "2"
    assert nursery.status().refused.get("STALE", 0) >= 1
    nursery.wait_template(other_than=old.pid)
    after = start(nursery, env=env)
    assert after.client().ok("import lesson; lesson.number").text == "2"
    assert before.client().ok("lesson.number").text == "1"


def test_cold_reload(begin: Begin, start: Start) -> None:
    """A new template on request: kernels of the old one live on, and it ends with the last of them."""
    nursery = begin("--without", "rehearse", "--import", "json")
    kernel = start(nursery)
    old = nursery.template()
    nursery.ask(Op.RELOAD)
    nursery.wait_template(other_than=old.pid)
    assert start(nursery).client().ok("1").text == "1"
    assert kernel.client().ok("2").text == "2"
    assert not old.gone(0)
    kernel.close()
    assert old.gone(DEADLINE)


def test_cold_drain(begin: Begin, start: Start) -> None:
    """A nursery that is drained serves nobody any more, and ends with its last kernel."""
    nursery = begin("--without", "rehearse", "--import", "json")
    kernel = start(nursery)
    nursery.ask(Op.DRAIN)
    late = start(nursery, cold=True)
    started_cold(late)
    works(late)
    assert kernel.client().ok("1").text == "1"
    listener = nursery.listener()
    assert not listener.gone(0)
    kernel.close()
    assert listener.gone(DEADLINE)
    assert nursery.process.wait(1) == 0


def test_cold_nursery_ends(begin: Begin, start: Start) -> None:
    """SIGTERM, what systemd sends: kernels live on."""
    nursery = begin("--without", "rehearse", "--import", "json")
    kernel = start(nursery)
    listener, template = nursery.listener(), nursery.template()
    nursery.ended.append(template)
    nursery.signal(signal.SIGTERM)
    assert listener.gone(DEADLINE)
    works(kernel)
    late = start(nursery, cold=True)
    started_cold(late)
    kernel.close()
    assert template.gone(DEADLINE)
