# SPDX-License-Identifier: BSD-3-Clause
"""A variable that counted while the template was built makes a kernel cold where its user has another value, unless a
worker makes up for it; and what servers of all kinds put into the environment makes none cold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from launch import Kernel
from nursery import Begin, Nursery, Start, born_in_nursery, python_of, started_cold
from raw import block

USUAL = {
    "LANG": "en_US.UTF-8",
    "SHELL": "/bin/bash",
    "USER": "ada",
    "LOGNAME": "ada",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}
JUPYTER = {
    "JPY_SESSION_NAME": "/home/ada/lesson.ipynb",
    "JPY_PARENT_PID": None,
    "PYDEVD_USE_FRAME_EVAL": "NO",
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
# What each of these gives to a Jupyter server, and the server to its kernels.
SERVERS: dict[str, dict[str, str | None]] = {
    "JupyterHub": {
        **USUAL,
        **JUPYTER,
        "JUPYTERHUB_API_TOKEN": "c0ffee",
        "JPY_API_TOKEN": "c0ffee",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_USER": "ada",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:41253/user/ada/",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": "http://127.0.0.1:8081/hub/api/users/ada",
        "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=ada/"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/ada/oauth_callback",
        "JUPYTERHUB_PUBLIC_URL": "",
        "JUPYTERHUB_DEBUG": "",
        "JUPYTERHUB_ROOT_DIR": "/",
        "JUPYTERHUB_DEFAULT_URL": "/lab",
        "MEM_LIMIT": "1073741824",
        "MEM_GUARANTEE": "268435456",
        "CPU_LIMIT": "2.0",
        "VIRTUAL_ENV": "/opt/jupyterhub",
    },
    "jupyter lab": {
        **USUAL,
        **JUPYTER,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "DISPLAY": ":0",
        "WAYLAND_DISPLAY": "wayland-0",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "JUPYTER_RUNTIME_DIR": "/run/user/1000/jupyter",
        "JUPYTER_DATA_DIR": "/srv/jupyter",
        "XDG_SESSION_TYPE": "wayland",
        "XDG_CURRENT_DESKTOP": "GNOME",
        "DESKTOP_SESSION": "gnome",
        "XDG_DATA_DIRS": "/usr/share",
        "XDG_CONFIG_DIRS": "/etc/xdg",
        "XDG_SESSION_ID": "3",
        "XAUTHORITY": "/run/user/1000/.Xauthority",
        "EDITOR": "vim",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
        "SSH_AUTH_SOCK": "/run/user/1000/keyring/ssh",
        "LS_COLORS": "di=01;34",
        "SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22",
        "SSH_TTY": "/dev/pts/1",
        "SHLVL": "1",
        "OLDPWD": "/",
        "_": "/usr/bin/jupyter",
        "CONDA_PREFIX": "/opt/conda",
        "CONDA_DEFAULT_ENV": "base",
        "CONDA_EXE": "/opt/conda/bin/conda",
        "LC_TIME": "C.UTF-8",
        "LESSOPEN": "|lesspipe %s",
        "BROWSER": "firefox",
        "COLUMNS": "180",
        "LINES": "50",
        "PS1": "$ ",
        "VTE_VERSION": "7200",
        "TZ": "Europe/Berlin",
    },
    "VS Code": {
        **USUAL,
        "VSCODE_PID": "4711",
        "VSCODE_CWD": "/home/ada",
        "VSCODE_IPC_HOOK_CLI": "/run/user/1000/vscode-ipc-1.sock",
        "VSCODE_AGENT_FOLDER": "/home/ada/.vscode-server",
        "VSCODE_HANDLES_UNCAUGHT_ERRORS": "true",
        "VSCODE_NLS_CONFIG": '{"locale":"en"}',
        "VSCODE_ESM_ENTRYPOINT": "vs/workbench/api/node/extensionHostProcess",
        "VSCODE_CRASH_REPORTER_PROCESS_TYPE": "extensionHost",
        "ELECTRON_RUN_AS_NODE": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "APPLICATION_INSIGHTS_NO_STATSBEAT": "true",
        "BROWSER": "/home/ada/.vscode-server/bin/helpers/browser.sh",
        "TERM_PROGRAM": "vscode",
        "GIT_ASKPASS": "/home/ada/.vscode-server/askpass.sh",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHON_FROZEN_MODULES": "on",
        "PYDEVD_IPYTHON_COMPATIBLE_DEBUGGING": "1",
        "FORCE_COLOR": "1",
        "TERM": "xterm-color",
        "CLICOLOR": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "JPY_PARENT_PID": None,
    },
    "systemd": {
        **USUAL,
        **JUPYTER,
        "LANG": "C.UTF-8",
        "INVOCATION_ID": "0123456789abcdef0123456789abcdef",
        "JOURNAL_STREAM": "9:12345",
        "SYSTEMD_EXEC_PID": "812",
        "MEMORY_PRESSURE_WATCH": "/sys/fs/cgroup/x/memory.pressure",
        "MEMORY_PRESSURE_WRITE": "c29tZSAy",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "RUNTIME_DIRECTORY": "/run/lab",
        "STATE_DIRECTORY": "/var/lib/lab",
    },
    "cron": {**JUPYTER, "SHELL": "/bin/sh", "LOGNAME": "ada", "PATH": "/usr/bin:/bin"},
}
# With nothing else in the environment, of the tests' own either.
CLEAN = 'exec env -i HOME="$HOME" PUPITRE_NURSERY="$PUPITRE_NURSERY" "$@"'
ASKER = block("""
    import ctypes, os
    mode = os.environ.get('ASKER_MODE', 'quiet')
    level = os.getenv('ASKER_LEVEL')
    options = {name: value for name, value in os.environ.items() if name.startswith('ASKER_OPTION_')}
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    library = getenv(b'ASKER_LIBRARY')
    copy = dict(os.environ)
""")


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
@pytest.mark.parametrize("server", SERVERS)
def test_environments_of_servers(nursery: Nursery, start: Start, server: str) -> None:
    """Four kernels each: none is cold."""
    wanted = {name: value for name, value in SERVERS[server].items() if value is not None}
    prefix = ["bash", "-c", CLEAN, "bash", *(f"{name}={value}" for name, value in wanted.items())]
    for _ in range(4):
        kernel: Kernel = start(nursery, cold=True, prefix=prefix)
        born_in_nursery(kernel)
        told = kernel.client().evaluate("dict(__import__('os').environ)")
        assert told.keys() >= wanted.keys() and told.get("USER") == wanted.get("USER")


CALLERS: dict[str, dict[str, str]] = {
    "through os.environ": {"ASKER_MODE": "loud"},
    "through os.getenv": {"ASKER_LEVEL": "3"},
    "among all": {"ASKER_OPTION_X": "1"},
    "by a library": {"ASKER_LIBRARY": "1"},
}


def test_environments_that_differ(begin: Begin, start: Start, environment: Path) -> None:
    (environment / "asker.py").write_text(ASKER)
    nursery = begin("--python", python_of(environment), "--import", "asker", "--without", "rehearse")
    named: dict[str, Any] = {"PUPITRE_PYTHON": python_of(environment)}
    for env in ({}, {"ASKER_MODE": ""}, {"ASKER_NEVER": "1"}):
        born_in_nursery(start(nursery, cold=True, env=named | env))
    for env in CALLERS.values():
        kernel = start(nursery, cold=True, env=named | env)
        started_cold(kernel)
        kernel.client().ok("import asker")
    assert kernel.client().ok("asker.library").text == "b'1'"


SETTER = block("""
    import os
    os.environ['SET_BY_A_PACKAGE'] = 'set'
    os.environ.setdefault('PROPOSED_BY_A_PACKAGE', 'proposed')
""")


def test_environments_that_packages_change(begin: Begin, start: Start, environment: Path) -> None:
    """They have it as in a cold kernel that imports the same, and so do subprocesses."""
    (environment / "setter.py").write_text(SETTER)
    nursery = begin("--python", python_of(environment), "--import", "setter", "--without", "rehearse")
    client = start(nursery, env={"PUPITRE_PYTHON": python_of(environment), "SET_BY_A_PACKAGE": "the user's"}).client()
    client.ok("import os, subprocess")
    names = "SET_BY_A_PACKAGE PROPOSED_BY_A_PACKAGE"
    assert client.evaluate(f"[os.environ[name] for name in {names!r}.split()]") == ["set", "proposed"]
    assert client.evaluate(f"subprocess.check_output('printenv {names}', shell=True).decode()") == "set\nproposed\n"
