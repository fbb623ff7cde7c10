# SPDX-License-Identifier: BSD-3-Clause
"""A JupyterLab server of our own: free loopback port, token, and directories that nobody else uses."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

START_DEADLINE = 60.0
STOP_DEADLINE = 20.0
"""Seconds for the server to say its address, and to end with all its kernels."""

_ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/lab\?token=")

_SETTINGS = {
    # Nothing on the page may depend on the network or on what is new today.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"theme": "JupyterLab Light", "adaptive-theme": False},
}


class LabServer:
    """Started by the constructor, ended by `stop`. `notebooks` is what it serves; `log` is what it wrote; `history`
    is where its kernels keep what was typed.
    """

    def __init__(self, directory: Path) -> None:
        self.notebooks = directory / "notebooks"
        self.notebooks.mkdir()
        self.history = directory / "ipythondir/profile_default/history.sqlite"
        self.log: list[str] = []
        self.token = secrets.token_hex(16)
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment(directory),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._address = ""
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._settled.wait(START_DEADLINE) or not self._address:
            self.stop()
            raise RuntimeError("JupyterLab did not start:\n" + "".join(self.log))

    @property
    def url(self) -> str:
        """The page to begin with: JupyterLab with its launcher and nothing remembered."""
        return f"{self._address}/lab?reset&token={self.token}"

    def stop(self) -> None:
        """End the server and the kernels that it started."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(STOP_DEADLINE)

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.notebooks}",
            "--LabApp.extension_manager=readonly",
            "--LabApp.expose_app_in_browser=True",
        ]

    @staticmethod
    def _environment(directory: Path) -> dict[str, str]:
        own = {}
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME"):
            own[name] = str(directory / name.lower())
        own["JUPYTERLAB_SETTINGS_DIR"] = str(directory / "settings")
        own["JUPYTERLAB_WORKSPACES_DIR"] = str(directory / "workspaces")
        for path in own.values():
            Path(path).mkdir(exist_ok=True)
        for name, settings in _SETTINGS.items():
            file = directory / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        return {**os.environ, **own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _read_log(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.log.append(line)
            if found := _ADDRESS.search(line):
                self._address = found[1]
                self._settled.set()
        self._settled.set()
