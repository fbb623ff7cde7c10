# SPDX-License-Identifier: BSD-3-Clause
"""What a nursery is started with: the command line over a variable over a TOML file over defaults, each value checked.

A key of the file is the command line's option without its dashes. Everything wrong is a `Wrong`, whose text is one line
that names the place: the option, or file, line and key.
"""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pupitre import install
from pupitre.nursery import messages, places

SYSTEM_FILE = Path("/etc/pupitre/nursery.toml")
USER_FILE = "pupitre/nursery.toml"  # below $XDG_CONFIG_HOME

# What the template can do to save memory and time; docs/memory.md.
TRICKS = (
    "freeze",
    "rehearse",
    "plug",
    "malloc",
    "thp_off",
    "memfd",
    "immortal",
    "counters",
    "trim",
    "fork_complete",
    "prefault",
)
LOG_LEVELS = ("error", "warning", "info", "debug")
# Preloaded where nobody says otherwise, each if it is installed.
DEFAULT_IMPORTS = ("numpy", "pandas", "matplotlib.pyplot", "scipy.stats", "sklearn")
SOCKET_PATH_MAX = 107  # bytes; sun_path without its NUL
UID_MAX = 2**32 - 2
COUNT_MAX = 1_000_000
SECONDS_MAX = 30 * 86400


class Wrong(Exception):
    """A bad option, key or file; its text is the line the user reads."""


class Where(NamedTuple):
    """What a value is relative to, the folder of its file or the current one, and whether it has a type of TOML."""

    folder: Path
    typed: bool


def parse_text(value: Any, _: Where) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("a non-empty text")
    return value


def parse_path(value: Any, where: Where) -> str:
    text = parse_text(value, where)
    return os.path.normpath(where.folder / os.path.expanduser(text))


def parse_program(value: Any, where: Where) -> str:
    """A path, or a name to look up on PATH."""
    text = parse_text(value, where)
    return parse_path(text, where) if "/" in text else text


def words(value: Any, where: Where) -> list[str]:
    """A list in TOML; on the command line a repeated option whose values may hold commas."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts")
    if where.typed:
        return value
    return [word for item in value for word in re.split(r"[,\s]+", item) if word]


def parse_modules(value: Any, where: Where) -> list[str]:
    names = words(value, where)
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"names of modules, and {name!r} is none")
    return list(dict.fromkeys(names))


def parse_tricks(value: Any, where: Where) -> list[str]:
    names = [name.replace("-", "_") for name in words(value, where)]
    for name in names:
        if name not in TRICKS:
            raise ValueError(f"some of {', '.join(TRICKS)}, and {name!r} is none")
    return names


def parse_level(value: Any, _: Where) -> str:
    if value not in LOG_LEVELS:
        raise ValueError(f"one of {', '.join(LOG_LEVELS)}")
    return str(value)


def number(lowest: int, highest: int, unit: str) -> Callable[[Any, Where], int]:
    def parse(value: Any, where: Where) -> int:
        expected = f"a number of {unit} from {lowest} to {highest}"
        if not where.typed and isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ValueError(expected)
        return value

    return parse


class Option(NamedTuple):
    """One thing to set: `--name` on the command line, `name` in the file."""

    parse: Callable[[Any, Where], Any]  # ValueError says what it must be
    metavar: str
    help: str
    many: bool = False


OPTIONS: dict[str, Option] = {
    "socket": Option(parse_path, "PATH", "where to listen"),
    "python": Option(parse_program, "INTERPRETER", "the interpreter to warm; kernels of another one start cold"),
    "import": Option(
        parse_modules, "NAME", "import this beforehand, instead of the usual ones; may be repeated", many=True
    ),
    "rehearsal": Option(parse_path, "NOTEBOOK", "a notebook of the course, run once beforehand"),
    "max-per-user": Option(number(0, COUNT_MAX, "kernels"), "N", "kernels of one user at a time; 0: no limit"),
    "max-total": Option(number(0, COUNT_MAX, "kernels"), "N", "kernels of all users at a time; 0: no limit"),
    "min-uid": Option(number(0, UID_MAX, "a user"), "N", "with --system: serve users from this number on"),
    "max-uid": Option(number(0, UID_MAX, "a user"), "N", "with --system: serve users up to this number"),
    "serve-confined": Option(
        number(0, 1, "yes and no"),
        "N",
        "1: serve kernels with no_new_privs where the nursery has it, too; they may be in a sandbox",
    ),
    "burst": Option(number(0, COUNT_MAX, "kernels"), "N", "kernels that one user may start at once; 0: no limit"),
    "idle-rebuild": Option(
        number(0, SECONDS_MAX, "seconds"), "SECONDS", "warm a new Python after that long without a start; 0: never"
    ),
    "log-level": Option(parse_level, "LEVEL", ", ".join(LOG_LEVELS)),
    "without": Option(
        parse_tricks, "TRICK", f"leave out one way to save memory: {', '.join(TRICKS)}; may be repeated", many=True
    ),
}


def line_of(text: str, key: str) -> int:
    """The line of a TOML text that sets a top-level key or opens it as a table; 1 where it is not to be seen."""
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((i for i, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def read_file(path: Path) -> dict[str, Any]:
    """The checked values of a TOML file, by option. Raises Wrong."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise Wrong(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Wrong(f"{path}, line {line}: not UTF-8") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error).replace("\n", " ")
        at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
        line = int(at[1]) if at and at[1] else max(1, len(text.splitlines()))
        raise Wrong(f"{path}, line {line}: {message[: at.start()] if at else message}") from None
    where = Where(path.absolute().parent, typed=True)
    values = {}
    for key, value in content.items():
        place = f"{path}, line {line_of(text, key)}"
        option = OPTIONS.get(key)
        if option is None:
            raise Wrong(f"{place}: unknown key {key!r}; there are {', '.join(OPTIONS)}")
        try:
            values[key] = option.parse(value, where)
        except ValueError as error:
            raise Wrong(f"{place}: {key} must be {error}") from None
    return values


def read_command_line(given: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values of the options that were given: texts, or lists of texts. Raises Wrong."""
    where = Where(Path.cwd(), typed=False)
    values = {}
    for key, value in given.items():
        try:
            values[key] = OPTIONS[key].parse(value, where)
        except ValueError as error:
            raise Wrong(f"--{key} must be {error}") from None
    return values


def read_variable() -> dict[str, Any]:
    """The socket, where the variable names one. Raises Wrong."""
    name = places.named()
    return {"socket": os.path.abspath(name)} if name else {}


def default_file(system: bool) -> Path:
    """The file that is read where none is named, if it exists."""
    if system:
        return SYSTEM_FILE
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / USER_FILE


def default_socket(system: bool) -> str:
    """Where to listen where neither options nor the variable say. Raises Wrong."""
    if system:
        return messages.SYSTEM_SOCKET
    if places.named() == "":
        raise Wrong(f"{messages.SOCKET_VARIABLE} is off, so that no kernel would ask: unset it, or say --socket PATH")
    found = places.to_listen()
    if found is None:
        raise Wrong(
            "there is neither a runtime directory nor a home in which nobody but you may write: "
            f"say --socket PATH, and {messages.SOCKET_VARIABLE}=PATH where Jupyter starts"
        )
    return found


def default_python() -> str:
    """The interpreter that pupitre-kernel of this environment takes: kernel/front/spawn.c, find_python."""
    named = os.environ.get("PUPITRE_PYTHON")
    if named:
        return named
    beside = install.kernel_program().parent / "python3"
    return str(beside) if os.access(beside, os.X_OK) else "python3"


def find_program(name: str) -> str:
    """An interpreter by path, or by name on PATH, as an absolute path with its symbolic links. Raises Wrong."""
    found = shutil.which(name)
    if found is None or os.path.isdir(found):
        raise Wrong(f"there is no interpreter {name}" if "/" in name else f"there is no {name} on PATH")
    return os.path.abspath(found)


def find_libexec(name: str, variable: str, beside: str | None = None) -> str:
    """One of our programs: $variable, beside another, or in the libexec of this installation. Raises Wrong."""
    named = os.environ.get(variable)
    if named:
        places = [Path(named)]
    elif beside is not None:  # installed, or in a build tree
        places = [Path(beside).with_name(name), Path(beside).parent.parent / name.removeprefix("pupitre-") / name]
    else:
        places = [Path(sysconfig.get_path("data")) / "libexec" / "pupitre" / name]
    for place in places:
        if os.access(place, os.X_OK) and place.is_file():
            return os.path.abspath(place)
    raise Wrong(f"{places[0]} is missing or not executable: pip install --force-reinstall pupitre")


@dataclass(frozen=True)
class Settings:
    """All that `pupitre nursery` needs. Paths are absolute."""

    system: bool
    socket: str
    python: str
    imports: list[str]
    asked: bool  # somebody named the imports: one that is missing is an error
    rehearsal: str | None = None
    log_level: str = "warning"
    without: list[str] = field(default_factory=list)
    idle_rebuild: int = 0  # seconds; 0: never
    limits: dict[str, int] = field(default_factory=dict)  # by option, all of LIMITS
    file: Path | None = None  # what was read

    @property
    def home(self) -> str:
        """The private directory that is the template's HOME: beside the socket, nursery.home beside nursery.sock."""
        return os.path.splitext(self.socket)[0] + ".home"


# Where nobody says: of a user's own nursery, and of one that serves strangers. 0: no limit.
LIMITS = {
    "min-uid": (1000, 1000),
    "max-uid": (60000, 60000),  # beyond are those that systemd draws, nobody's, and subordinate ones
    "max-per-user": (0, 64),
    "max-total": (0, 0),
    "burst": (0, 32),
    "serve-confined": (0, 0),
}


def resolve(given: Mapping[str, Any], system: bool, config: str | None) -> Settings:
    """Settings out of the options given, $PUPITRE_NURSERY, the file named or usual, and defaults. Raises Wrong."""
    file = Path(config) if config is not None else default_file(system)
    read = config is not None or file.exists()
    values = {**(read_file(file) if read else {}), **read_variable(), **read_command_line(given)}
    for name in ("min-uid", "max-uid"):
        if name in values and not system:
            raise Wrong(f"{name} is for --system: without it a nursery serves nobody but you")
    socket = values.get("socket") or default_socket(system)
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX:
        raise Wrong(f"the path of the socket may have {SOCKET_PATH_MAX} bytes, and {socket} has more")
    return Settings(
        system=system,
        socket=socket,
        python=find_program(values.get("python") or default_python()),
        imports=values.get("import", list(DEFAULT_IMPORTS)),
        asked="import" in values,
        rehearsal=values.get("rehearsal"),
        log_level=values.get("log-level", "warning"),
        without=values.get("without", []),
        idle_rebuild=values.get("idle-rebuild", 0),
        limits={name: values.get(name, usual[system]) for name, usual in LIMITS.items()},
        file=file if read else None,
    )
