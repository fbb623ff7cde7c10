# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery`: start a nursery in the foreground, or ask a running one: status, drain, reload, stop.

Starting means: check what can be checked, listen, then become pupitre-nursery (exec), which knows nothing of files and
options but what stands on its command line, and of the socket what it has as descriptor 0.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import stat
import subprocess
import sys
import time
from typing import Any, NoReturn

from pupitre.nursery import messages, places, preflight, settings, status, stop, trouble
from pupitre.nursery.door import Shut, hand_over, make_folder, make_scribe, notifier, open_door
from pupitre.nursery.settings import OPTIONS, TRICKS, Settings, Wrong

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SHUT = 3
PAUSE_MIN, PAUSE_MAX = 1.0, 256.0  # seconds, as of the listener's own attempts
PREFIX = "option_"  # of argparse's names for OPTIONS, which would collide with words of Python


def make_state_folder(chosen: Settings) -> None:
    """Where the socket is in the home, make the folders above its own. Raises Wrong."""
    if not chosen.system and chosen.socket == places.in_home():
        state = os.path.dirname(os.path.dirname(chosen.socket))
        for folder in (os.path.dirname(state), state):
            make_folder(folder, 0o700)


def prepare_home(chosen: Settings) -> None:
    """Make the template's home, or make sure that the one there is ours. Raises Wrong."""
    try:
        make_folder(chosen.home, 0o700)
        found = os.lstat(chosen.home)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Wrong(f"{chosen.home} is in the way: it must be a folder of your own")
        os.chmod(chosen.home, 0o700)
    except OSError as error:
        raise Wrong(f"{error.filename}: {error.strerror}") from None


def template_settings(chosen: Settings, imports: list[str]) -> str:
    """The JSON that pupitre-template gets."""
    return json.dumps(
        {
            "imports": imports,
            "rehearsal": chosen.rehearsal,
            "tricks": {trick: trick not in chosen.without for trick in TRICKS},
            "idle_rebuild": chosen.idle_rebuild,
            "log_level": chosen.log_level,
            "threads_ok": False,
        }
    )


def command_line(chosen: Settings, listener: str, template: str, imports: list[str]) -> list[str]:
    """The arguments of pupitre-nursery, its own path first, in its order."""
    arguments = [listener, "--template", template, "--python", chosen.python]
    arguments += ["--home", chosen.home, "--settings", template_settings(chosen, imports)]
    arguments += ["--log-level", chosen.log_level]
    for name, number in chosen.limits.items():
        arguments += [f"--{name}", str(number)]
    return [*arguments, "--system"] if chosen.system else arguments


def isolate() -> None:
    """Begin anew where variables and packages in a home directory had a say in what this Python runs."""
    if not sys.flags.isolated:
        os.execv(sys.executable, [sys.executable, "-I", "-m", "pupitre.cli", *sys.argv[1:]])


def choose(options: argparse.Namespace, given: dict[str, Any]) -> Settings:
    """What the nursery is to be. Raises Wrong."""
    if options.system and os.geteuid() != 0:
        raise Wrong("--system needs root: without it you get a nursery of your own")
    if options.system:
        isolate()
    return settings.resolve(given, options.system, options.config)


def prepare(chosen: Settings) -> tuple[list[str], socket.socket, socket.socket]:
    """Everything before exec: the words of pupitre-nursery, its socket, and the scribe. Raises Wrong."""
    listener = settings.find_libexec("pupitre-nursery", "PUPITRE_NURSERY_BIN")
    template = settings.find_libexec("pupitre-template", "PUPITRE_TEMPLATE_BIN", beside=listener)
    scribe = settings.find_libexec("pupitre-scribe", "PUPITRE_SCRIBE_BIN", beside=listener)
    if chosen.rehearsal is not None:
        preflight.check_notebook(chosen.rehearsal)
    if chosen.system:
        preflight.check_start(chosen, (listener, template, scribe))
    python = preflight.probe(chosen.python, chosen.imports, careful=chosen.system)
    if chosen.system:
        preflight.check_python(python)
    preflight.check_version(chosen, python)
    imports = preflight.choose_imports(chosen, python)
    make_state_folder(chosen)
    door = open_door(chosen.socket, chosen.system)
    prepare_home(chosen)
    words = command_line(chosen, listener, template, imports)
    return words, door, make_scribe(scribe, chosen.log_level, chosen.system)


def prepare_patiently(chosen: Settings) -> tuple[list[str], socket.socket, socket.socket]:
    """The same, with growing pauses again and again while it is trouble of the moment that stands in the way."""
    pause = PAUSE_MIN
    while True:
        try:
            return prepare(chosen)
        except (Wrong, OSError, MemoryError, subprocess.TimeoutExpired) as error:
            if not trouble.is_of_the_moment(error):
                raise
            text = str(error) or "out of memory"
        print(f"pupitre nursery: {text}; trying again in {pause:.0f} s", file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_MAX)


def hold_standard() -> None:
    """Where descriptors 0 to 2 are closed make them /dev/null: nothing else that is opened is to become one of them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def start(options: argparse.Namespace, given: dict[str, Any]) -> NoReturn:
    """Become pupitre-nursery. Raises Wrong, or OSError where it cannot be executed."""
    hold_standard()
    arguments, door, scribe = prepare_patiently(choose(options, given))
    hand_over(door, notifier(), scribe)
    for stream in filter(None, (sys.stdout, sys.stderr)):  # Python has none where a descriptor was closed
        stream.flush()
    os.execve(arguments[0], arguments, {})


def run(options: argparse.Namespace) -> int:
    """The command; its exit status."""
    given = {
        name[len(PREFIX) :].replace("_", "-"): value for name, value in vars(options).items() if name.startswith(PREFIX)
    }
    try:
        if options.action is None:
            start(options, given)
        if given.keys() - {"socket"} or options.config is not None:
            raise Wrong(f"{options.action} takes no option of a nursery's start but --socket and --system")
        asked = settings.read_command_line(given).get("socket")
        if options.system:
            asked = asked or messages.SYSTEM_SOCKET
        return {**status.ACTIONS, "stop": stop.run}[options.action](asked, options)
    except Wrong as error:
        print(f"pupitre nursery: {error}", file=sys.stderr)
        return EXIT_SHUT if isinstance(error, Shut) else EXIT_USAGE
    except OSError as error:
        print(f"pupitre nursery: {error}", file=sys.stderr)
        return EXIT_FAILED


def add_option(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare an option of OPTIONS; where it is not given it does not appear."""
    option = OPTIONS[name]
    parser.add_argument(
        f"--{name}",
        dest=PREFIX + name.replace("-", "_"),
        action="append" if option.many else "store",
        metavar=option.metavar,
        default=argparse.SUPPRESS,
        help=option.help,
    )


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "nursery",
        help="keep a warm Python that kernels are forked from, or ask a running one",
        description="Run a nursery in the foreground: it warms a Python and forks kernels from it. "
        "Options go before what a file says, and the file before defaults; pupitre-nursery(1).",
        epilog="exit codes: 0 done, or ready; 1 it did not work, or is not ready; 2 usage or a bad file; "
        "3 no nursery listens",
    )
    parser.add_argument("--system", action="store_true", help="serve all users of the machine (root)")
    parser.add_argument("--config", metavar="FILE", help="a TOML file, instead of the usual one")
    for name in OPTIONS:
        add_option(parser, name)
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="asking a running nursery", dest="action", metavar="ACTION")
    for name, text in {**status.HELP, "stop": stop.HELP}.items():
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_option(action, "socket")
        action.add_argument("--system", action="store_true", default=argparse.SUPPRESS, help="that of the machine")
        if name == "status":
            action.add_argument("--json", action="store_true", help="for programs")
