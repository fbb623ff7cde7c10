# SPDX-License-Identifier: BSD-3-Clause
"""What docs/security.md claims and no other test would miss."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from nursery import AS_ROOT, DEADLINE, QUICK, USER, Begin, Nursery, Start, born_in_nursery
from test_ends import links, status_of, wait_until
from test_kept_apart import memory_of


def test_the_listener_links_libc_only() -> None:
    program = Path(sys.prefix) / "libexec/pupitre/pupitre-nursery"
    dynamic = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"\(NEEDED\).*\[(.*?)\]", dynamic) == ["libc.so.6"]


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_a_worker_holds_no_key_and_no_door(nursery: Nursery, start: Start, warm: bool) -> None:
    """The key is in the front's memory only; the worker's sockets have neither a name nor an address."""
    key = secrets.token_hex(24)
    kernel = start(nursery if warm else None, cold=not warm, key=key)
    assert kernel.client().ok("1+1").text == "2"
    assert key.encode() in memory_of(kernel.front) and key.encode() not in memory_of(kernel.worker)
    numbers = {int(link[8:-1]) for link in links(kernel.worker.pid) if link.startswith("socket:[")}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    assert numbers <= {int(line[6]) for line in lines if len(line) == 7}, "one has a name, or is no Unix socket"


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_hash_seeds(nursery: Nursery, start: Start) -> None:
    """One for all of a template; each cold kernel has its own, also where a nursery is but is not wanted."""
    off = {"PUPITRE_NURSERY": "off"}
    kernels = [start(nursery), start(nursery), *(start(nursery, cold=True, env=off) for _ in range(2))]
    hashes = [kernel.client().evaluate("hash('a')") for kernel in kernels]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


if AS_ROOT:

    @pytest.mark.parametrize("bare", ["system"], indirect=True)
    def test_privileges_go_first(bare: Nursery, start: Start) -> None:
        """What the caller chose is not touched before the process is the caller's, and has made sure of it."""
        template = bare.template()
        log = Path(bare.log.name).with_name("order")
        words = ["strace", "-f", "-qq", "-y", "-e", "trace=setresuid,openat,read,pread64,mmap", "-o", str(log)]
        with subprocess.Popen([*words, "-p", str(template.pid)], stderr=subprocess.DEVNULL) as tracer:
            try:
                wait_until(lambda: re.search(r"TracerPid:\s*[1-9]", status_of(template)) is not None, "traced")
                pid = born_in_nursery(start(bare)).pid
            finally:
                tracer.terminate()
                tracer.wait(DEADLINE)
        calls = [line for line in log.read_text().splitlines() if line.startswith(f"{pid} ")]
        steps = [f"setresuid({USER.uid}, {USER.uid}, {USER.uid})", '"/proc/self/status"', "memfd:pupitre-payload"]
        at = [next(i for i, call in enumerate(calls) if step in call) for step in steps]
        assert at == sorted(at), [calls[i] for i in at]

    def test_processes_that_are_hidden(begin: Begin, start: Start) -> None:
        """/proc with hidepid=2: students see their own processes only; the nursery sees what it needs."""
        hide = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
        nursery = begin(*QUICK, system=True, prefix=["unshare", "--mount", "sh", "-c", hide, "sh"])
        groups = ",".join(map(str, USER.groups))
        user = ["setpriv", f"--reuid={USER.uid}", f"--regid={USER.gid}", f"--groups={groups}"]
        kernel = start(
            nursery,
            prefix=["nsenter", "--mount", "-t", str(nursery.pid), *user],
            process=dict.fromkeys(("user", "group", "extra_groups")),
        )
        seen = set(kernel.client().evaluate("[int(n) for n in __import__('os').listdir('/proc') if n.isdigit()]"))
        assert {kernel.pid, kernel.worker.pid} <= seen and not seen & {1, nursery.pid, nursery.template().pid}
