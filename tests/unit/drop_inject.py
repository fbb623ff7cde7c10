# SPDX-License-Identifier: BSD-3-Clause
"""drop_inject.py DRIVER: drop_privileges (see drop_driver.c), each of its system calls failing and each lying in turn.

Whatever a system call answers (strace makes it up), the child must end with 70 or be the caller in every respect: never
anything between. Needs root; uses sudo when it is not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

UID, GID = 64123, 64124
FAILED = 70
SECONDS = 30
ERRORS = ("EPERM", "EAGAIN", "ENOMEM")
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
CALL = re.compile(r"^(\w+)\((.*)\)\s+= (\?|-?\w+)")
# System calls of the sequence whose failure nothing depends on.
HARMLESS = {"close", "setfsuid", "setfsgid"}
# Answers that are the right ones: what is tried to see that it is refused.
REFUSED = {"setresuid(0, 0, 0)", "setresuid(-1, 0, -1)", "setgroups(0, NULL)", "setresgid(0, 0, 0)"}
ORDER = [
    r"setgroups\(3, \[64124, 100, 70000\]\)",
    r"setresgid\(64124, 64124, 64124\)",
    r"prctl\(PR_GET_SECUREBITS",
    r"prctl\(PR_SET_KEEPCAPS, 0",
    r"prctl\(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL",
    r"prctl\(PR_CAPBSET_READ, CAP_CHOWN",
    r"prctl\(PR_CAPBSET_DROP, CAP_SYS_CHROOT",
    r"setresuid\(64123, 64123, 64123\)",
    r"capset\(.*effective=0, permitted=0, inheritable=0",
    r"setresuid\(0, 0, 0\).*EPERM",
    r"setresuid\(-1, 0, -1\).*EPERM",
    r"setgroups\(0, NULL\).*EPERM",
    r"setfsuid\(0\)",
    r"setresgid\(0, 0, 0\).*EPERM",
    r"openat\(AT_FDCWD, \"/proc/self/status\"",
    r"keyctl\(KEYCTL_JOIN_SESSION_KEYRING, NULL\)",
    r"clone\(.*CLONE_VM\|CLONE_VFORK",
    r"prctl\(PR_SET_DUMPABLE, SUID_DUMP_USER",
    r"prctl\(PR_GET_DUMPABLE",
]
ALLOWED = {
    *("setgroups", "setresgid", "prctl", "setresuid", "capset", "setfsuid", "setfsgid"),
    *("openat", "read", "close", "keyctl", "clone", "vfork", "wait4"),
}
failures: list[str] = []


def check(holds: object, text: str) -> None:
    if not holds:
        failures.append(text)
        print(f"FAILED  {text}", flush=True)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AS_ROOT, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def fields(output: str) -> dict[str, list[str]]:
    pairs = (line.partition(":") for line in output.splitlines())
    return {name: rest.split() for name, _, rest in pairs}


def check_dropped(output: str, what: str, groups: tuple[int, ...] = (100, GID, 70000), gid: int = GID) -> None:
    """All that a cold start of the user would have."""
    is_ = fields(output)
    wanted = {
        "Uid": [str(UID)] * 4,
        "Gid": [str(gid)] * 4,
        "Groups": [str(group) for group in groups],
        "Dumpable": ["1"],
        "Securebits": ["0"],
        "Environ": ["open"],
        "Keyring": ["own"],
        "Regained": ["0"],
    }
    for name, value in wanted.items():
        check(is_.get(name) == value, f"{what}: {name} is {is_.get(name)}, not {value}")
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        check(int(is_[name][0], 16) == 0, f"{what}: {name} is {is_[name][0]}")


def trace(driver: str) -> list[str]:
    """The system calls between the driver's marks, those before them by name only."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "trace"
        result = run(["strace", "-qq", "-s", "64", "-o", str(out), driver, "plain"])
        check(result.returncode == 0, f"plain: {result.returncode} {result.stderr}")
        check_dropped(result.stdout, "plain")
        own = {"CapBnd": fields(result.stdout)["CapBnd"][0], "Wanted": fields(result.stdout)["Wanted"][0]}
        check(int(own["CapBnd"], 16) == int(own["Wanted"], 16), f"plain: bounding set {own}")
        return out.read_text().splitlines()


def marks(lines: list[str]) -> tuple[int, int]:
    begin = next(i for i, line in enumerate(lines) if '"/begin"' in line)
    end = next(i for i, line in enumerate(lines) if '"/end"' in line)
    return begin + 1, end


def check_order(lines: list[str]) -> None:
    begin, end = marks(lines)
    at = begin
    for pattern in ORDER:
        found = next((i for i in range(at, end) if re.search(pattern, lines[i])), None)
        check(found is not None, f"order: no {pattern} after line {at}: {lines[at - 1]}")
        at = at if found is None else found + 1
    check(at == end, f"order: something follows PR_GET_DUMPABLE: {lines[at:end]}")
    for line in lines[begin:end]:
        name = line.partition("(")[0]
        check(name in ALLOWED or line.startswith("---"), f"order: unexpected {line}")
        check(name != "openat" or '"/proc/self/status"' in line, f"order: opens another file: {line}")


def injections(lines: list[str]) -> list[tuple[str, str, int]]:
    """What is called, its name, and how often it was called before and then."""
    begin, end = marks(lines)
    seen: dict[str, int] = {}
    found = []
    for i, line in enumerate(lines[:end]):
        match = CALL.match(line)
        if match is None:
            continue
        name = match.group(1)
        seen[name] = seen.get(name, 0) + 1
        if i >= begin:
            found.append((f"{name}({match.group(2)})", name, seen[name]))
    return found


def inject(driver: str, call: str, name: str, when: int, what: str) -> bool:
    """Run it so. True when it ended with 70; otherwise it must be the caller."""
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:{what}:when={when}"]
    result = run([*strace, driver, "plain"])
    where = f"{call} with {what}"
    if result.returncode == FAILED:
        check(result.stdout == "", f"{where}: said something on stdout")
        check(result.stderr.strip() != "", f"{where}: no word on stderr")
        return True
    check(result.returncode == 0, f"{where}: status {result.returncode}: {result.stderr}")
    if result.returncode == 0:
        check_dropped(result.stdout, where)
        bounding, wanted = (int(fields(result.stdout)[key][0], 16) for key in ("CapBnd", "Wanted"))
        check(bounding & ~wanted == 0, f"{where}: the bounding set is {bounding:x}, wider than {wanted:x}")
    return False


def check_error(driver: str, call: str, name: str, when: int, error: str) -> None:
    ended = inject(driver, call, name, when, f"error={error}")
    natural = name in HARMLESS or (call in REFUSED and error == "EPERM")
    check(ended != natural, f"{call} with {error}: {'ended' if ended else 'went on'}")


def check_lie(driver: str, call: str, name: str, when: int) -> None:
    ended = inject(driver, call, name, when, "retval=0")
    must_end = call in REFUSED or name in {"setgroups", "setresgid", "setresuid", "capset", "openat"}
    must_end = must_end or "PR_CAPBSET_DROP" in call or "JOIN" in call or "PR_SET_DUMPABLE" in call
    check(ended or not must_end, f"{call} lying: went on")


def check_keys(driver: str) -> None:
    """EPERM of all that deals with keys, though no filter says so; and an error that says nothing about them."""
    for error in ("EPERM", "EACCES"):
        strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=keyctl,add_key,request_key:error={error}"]
        result = run([*strace, driver, "plain"])
        check(result.returncode == FAILED and "JOIN" in result.stderr, f"keys: {error}: {result}")


def check_cases(driver: str) -> None:
    """Callers other than the usual."""
    many = tuple(sorted(4000000000 - i for i in range(256)))
    fine = {"no-groups": ((), GID), "gid-0": ((100, GID, 70000), 0), "many-groups": (many, GID)}
    for case in ("wider", "nothing", "everything", "keys-none-EPERM", "keys-none-ENOSYS"):
        fine[case] = ((100, GID, 70000), GID)
    for case, (groups, gid) in fine.items():
        result = run([driver, case])
        check(result.returncode == 0, f"{case}: {result.returncode} {result.stderr}")
        if result.returncode == 0:
            check_dropped(result.stdout, case, groups, gid)
    nothing = fields(run([driver, "nothing"]).stdout)
    check(int(nothing["CapBnd"][0], 16) == 0, f"nothing: {nothing['CapBnd']}")
    for case, text in {
        "full": "no room for processes",
        "root": "root is not served",
        "no-setpcap": "PR_CAPBSET_DROP",
        "securebits": "securebits are",
        **{f"keys-{left}-{error}": "JOIN" for left in ("add", "request", "both") for error in ("EPERM", "ENOSYS")},
    }.items():
        result = run([driver, case])
        check(result.returncode == FAILED and text in result.stderr, f"{case}: {result.returncode} {result.stderr}")


def main() -> int:
    driver = sys.argv[1]
    check_cases(driver)
    check_keys(driver)
    lines = trace(driver)
    check_order(lines)
    calls = injections(lines)
    check(len(calls) > len(ORDER), f"only {len(calls)} system calls")
    with ThreadPoolExecutor(2) as pool:
        errors = [pool.submit(check_error, driver, *call, error) for call in calls for error in ERRORS]
        # To be told of being the child is nothing that a caller of clone could see through.
        lies = [pool.submit(check_lie, driver, *call) for call in calls if call[1] not in {"clone", "vfork"}]
        for future in [*errors, *lies]:
            future.result()
    print(f"{len(errors)} errors and {len(lies)} lies of {len(calls)} system calls, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
