# SPDX-License-Identifier: BSD-3-Clause
"""What `pupitre nursery` makes of options, file and defaults, and every way in which it refuses to start."""

from __future__ import annotations

import json
import os
import posix
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pupitre.cli
import pytest
from conftest import DEADLINE, ROOT, Cli
from pupitre.nursery import cli as nursery_cli
from pupitre.nursery import preflight, settings, trust
from pupitre.nursery.settings import OPTIONS, TRICKS

NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
BESIDE = Path(sys.executable).parent / "python3"


def test_defaults(cli: Cli) -> None:
    got = cli.started()
    assert got["socket"] == str(cli.runtime / "pupitre" / "nursery.sock")
    assert got["python"] == str(BESIDE)
    assert got["template"] == str(cli.libexec / "pupitre-template")
    settings = got["settings"]
    assert settings["tricks"] == dict.fromkeys(TRICKS, True)
    assert settings["rehearsal"] is None
    assert settings["threads_ok"] is False
    limits = {"min-uid": "1000", "max-uid": "60000", "max-per-user": "0", "max-total": "0", "burst": "0"}
    limits["serve-confined"] = "0"
    assert got.items() >= limits.items() and got["log-level"] == "warning"
    assert set(got) == {"socket", "python", "template", "home", "settings", "log-level", "notify", *limits}


def test_systemd_is_told_by_the_nursery(cli: Cli) -> None:
    assert cli.started()["notify"] == os.devnull
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(cli.folder / "notify"))
        assert cli.started(NOTIFY_SOCKET=str(cli.folder / "notify"))["notify"].startswith("socket:")


def test_without_standard_descriptors(cli: Cli) -> None:
    """As some supervisors start programs: what is opened first would be one of them."""
    command = [sys.executable, "-m", "pupitre.cli", "nursery"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *command],
        env=cli.environment,
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        timeout=DEADLINE,
    )
    words, _, errors = json.loads(done.stdout)
    assert str(cli.runtime / "pupitre" / "nursery.sock") in words
    assert errors == "/dev/null"


def test_the_interpreter_is_the_one_that_kernels_take(cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.symlink_to(os.path.realpath(sys.executable))
    assert cli.started(PUPITRE_PYTHON=str(other))["python"] == str(other)
    assert cli.started("--python", str(BESIDE), PUPITRE_PYTHON=str(other))["python"] == str(BESIDE)


def test_folders_are_made_private(cli: Cli) -> None:
    home = Path(cli.started()["home"])
    assert home == cli.runtime / "pupitre" / "nursery.home"
    for folder in (home, home.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    home.chmod(0o777)
    cli.started()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_options(cli: Cli) -> None:
    notebook = cli.config(NOTEBOOK, "course.ipynb")
    got = cli.started(
        *("--socket", "n.sock", "--rehearsal", notebook.name, "--import", "json,csv", "--import", "email.message"),
        *("--max-per-user", "3", "--max-total=40", "--burst", "2", "--idle-rebuild", "60", "--log-level", "debug"),
        *("--without", "plug", "--without", "thp-off,memfd"),
    )
    assert got["socket"] == str(cli.folder / "n.sock")
    assert [got[name] for name in ("max-per-user", "max-total", "burst")] == ["3", "40", "2"]
    assert got["log-level"] == "debug"
    settings = got["settings"]
    assert settings["idle_rebuild"] == 60
    assert settings["imports"] == ["json", "csv", "email.message"]
    assert settings["rehearsal"] == str(notebook)
    assert {name for name, on in settings["tricks"].items() if not on} == {"plug", "thp_off", "memfd"}
    assert settings["log_level"] == "debug"


def test_a_file_and_options_over_it(cli: Cli) -> None:
    cli.config(NOTEBOOK, "course.ipynb")
    lines = ['socket = "n.sock"', 'import = ["json"]', "max-per-user = 5", "burst = 7", 'rehearsal = "course.ipynb"']
    file = cli.config("\n".join([*lines, 'without = ["plug"]']))
    got = cli.started("--config", file, "--burst", "9", "--import", "csv")
    assert got["socket"] == str(cli.folder / "n.sock")
    assert got["settings"]["rehearsal"] == str(cli.folder / "course.ipynb")
    assert (got["max-per-user"], got["burst"]) == ("5", "9")
    assert got["settings"]["imports"] == ["csv"]
    assert got["settings"]["tricks"]["plug"] is False


def test_the_usual_file_is_read_where_it_is(cli: Cli) -> None:
    (cli.folder / "conf" / "pupitre").mkdir(parents=True)
    cli.config("burst = 3", "conf/pupitre/nursery.toml")
    assert cli.started(XDG_CONFIG_HOME=str(cli.folder / "conf"))["burst"] == "3"
    (cli.folder / "home" / ".config" / "pupitre").mkdir(parents=True)
    cli.config("burst = 4", "home/.config/pupitre/nursery.toml")
    assert cli.started()["burst"] == "4"


def test_the_shipped_file_is_good_and_names_every_key(cli: Cli) -> None:
    text = (ROOT / "packaging" / "nursery.toml").read_text()
    assert cli.started("--config", cli.config(text)) == cli.started()
    keys = [line[1:].partition(" = ")[0] for line in text.splitlines() if line.startswith("#") and line[1:2].isalpha()]
    assert sorted(keys) == sorted(OPTIONS)
    shown = "\n".join(line.removeprefix("#") for line in text.splitlines() if line[1:].partition(" = ")[0] in OPTIONS)
    other = ("rehearsal", "python", "import", "min-uid", "max-uid")
    rest = [line for line in shown.splitlines() if not line.startswith(other)]
    assert cli.started("--config", cli.config("\n".join(rest)), "--socket", "n.sock")["burst"] == "32"


def test_packages_of_the_usual_list_may_be_missing(cli: Cli) -> None:
    imports = cli.started()["settings"]["imports"]
    python = preflight.probe(str(BESIDE), ["numpy", "pandas", "no_such_package"])
    assert python.modules["no_such_package"] is None
    assert ("numpy" in imports) == (python.modules["numpy"] is not None)


def test_nothing_to_import(cli: Cli) -> None:
    assert cli.started("--import", "")["settings"]["imports"] == []
    assert cli.started("--config", cli.config("import = []"))["settings"]["imports"] == []


def test_finding_packages_runs_nothing_of_them(cli: Cli, tmp_path: Path) -> None:
    found = preflight.probe(str(BESIDE), ["email.mime.text", "json", "sys", "email.nothing", "json.decoder.x"])
    assert {name for name, place in found.modules.items() if place is None} == {"email.nothing", "json.decoder.x"}
    for name in ("this", "antigravity"):  # one prints, one opens a browser
        assert cli.started("--import", name)["settings"]["imports"] == [name]


WRONG_FILES = [
    ("burst = = 2", 1, "Invalid value"),
    ("\n\nburst", 3, "Expected '='"),
    ("burst = 1\nburst = 2\n", 2, "Cannot overwrite"),
    ('socket = "', 1, "nterminated"),
    (b'# \xff\nsocket = "x"', 1, "not UTF-8"),
    ("\nbursts = 2", 2, "unknown key 'bursts'"),
    ("[limits]\nburst = 2", 1, "unknown key 'limits'"),
    ("# burst\nburst = true", 2, "burst must be a number of kernels from 0 to 1000000"),
    ("burst = -1", 1, "burst must be"),
    ('burst = "2"', 1, "burst must be"),
    ("burst = 2.0", 1, "burst must be"),
    ('import = "numpy"', 1, "import must be a list of texts"),
    ('import = ["a b"]', 1, "'a b' is none"),
    ("socket = 1", 1, "socket must be a non-empty text"),
    ('socket = ""', 1, "socket must be a non-empty text"),
    ('log-level = "loud"', 1, "log-level must be one of error, warning, info, debug"),
    ('without = ["magic"]', 1, "'magic' is none"),
    ("idle-rebuild = -1", 1, "idle-rebuild must be"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG_FILES)
def test_a_wrong_file_is_named_with_its_line(cli: Cli, text: str | bytes, line: int, said: str) -> None:
    file = cli.config(text)
    told = cli.refused("--config", file)
    assert told.startswith(f"{file}, line {line}: "), told
    assert said in told


def test_a_file_that_cannot_be_read(cli: Cli) -> None:
    assert cli.refused("--config", "nowhere.toml") == "cannot read nowhere.toml: No such file or directory"
    assert "Is a directory" in cli.refused("--config", cli.folder)


WRONG_OPTIONS = [
    (["--burst", "many"], "--burst must be a number of kernels from 0 to 1000000"),
    (["--burst", "-1"], "--burst must be"),
    (["--max-total", "99999999999"], "--max-total must be"),
    (["--log-level", "loud"], "--log-level must be one of"),
    (["--import", "9lives"], "'9lives' is none"),
    (["--without", "magic"], "'magic' is none"),
    (["--socket", ""], "--socket must be a non-empty text"),
    (["--python", "/nowhere/python3"], "there is no interpreter /nowhere/python3"),
    (["--python", "no-such-python"], "there is no no-such-python on PATH"),
    (["--python", "/bin/true"], "/bin/true is no Python that works: no output"),
    (["--import", "no_such_package"], "has no module no_such_package"),
    (["--rehearsal", "nowhere.ipynb"], "nowhere.ipynb: No such file or directory"),
    (["--min-uid", "1000"], "min-uid is for --system"),
    (["--max-uid", "1000"], "max-uid is for --system"),
    (["--serve-confined", "2"], "--serve-confined must be a number of yes and no from 0 to 1"),
    (["--socket", "/" + "x" * 107], "the path of the socket may have 107 bytes"),
    (["--socket", "no/such/folder/n.sock"], "cannot make the folder"),
    (["status", "--socket", ""], "--socket must be a non-empty text"),
    (["--burst", "2", "status"], "status takes no option of a nursery's start"),
]


@pytest.mark.parametrize(("options", "said"), WRONG_OPTIONS)
def test_a_wrong_option_is_one_line(cli: Cli, options: list[str], said: str) -> None:
    assert said in cli.refused(*options)


@pytest.mark.parametrize("options", [["--what"], ["dance"], ["--config"], ["status", "--burst", "2"]])
def test_usage(cli: Cli, options: list[str]) -> None:
    done = cli.run(*options)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("pupitre")


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 1}', '{"worksheets": []}', "\0"])
def test_a_rehearsal_that_is_no_notebook(cli: Cli, content: str) -> None:
    file = cli.config(content, "x.ipynb")
    assert cli.refused("--rehearsal", file) == f"the rehearsal {file} is not a notebook (nbformat 4)"


def test_programs_that_are_missing(cli: Cli) -> None:
    told = cli.refused(PUPITRE_NURSERY_BIN=str(cli.folder / "nothing"))
    assert told.startswith(f"{cli.folder}/nothing is missing or not executable")
    (cli.libexec / "pupitre-template").unlink()
    assert "pupitre-template is missing" in cli.refused()


def test_a_socket_that_others_could_replace(cli: Cli) -> None:
    open_to_all = cli.folder / "open"
    open_to_all.mkdir()
    for mode in (0o777, 0o1777, 0o775):
        open_to_all.chmod(mode)
        assert "others may write in it" in cli.refused("--socket", open_to_all / "n.sock", status=3)
    open_to_all.chmod(0o755)
    assert cli.started("--socket", open_to_all / "n.sock")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_home_that_is_in_the_way(cli: Cli, kind: str) -> None:
    home = cli.folder / "n.home"
    if kind == "link":
        home.symlink_to("/tmp")
    else:
        home.write_text("")
    assert cli.refused("--socket", "n.sock") == f"{home} is in the way: it must be a folder of your own"


# --- in this process, where we can pretend to be somebody else ---


def run_here(cli: Cli, monkeypatch: pytest.MonkeyPatch, uid: int, *arguments: str) -> list[str]:
    """What would be executed if our user number were that one. SystemExit carries the status otherwise."""
    executed: list[str] = []

    def listen(path: str, system: bool) -> IO[bytes]:
        """Descriptor 0 stays what it is."""
        if not system:
            Path(path).parent.mkdir(exist_ok=True)
        executed.extend(["--socket", path])
        return os.fdopen(0, "rb", closefd=False)

    def execve(_: str, words: list[str], environment: dict[str, str]) -> None:
        assert not environment
        executed.extend(words)
        raise SystemExit(0)

    for name in [name for name in os.environ if name.startswith(("PUPITRE", "XDG"))]:
        monkeypatch.delenv(name)
    for name, value in cli.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(cli.folder)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(nursery_cli, "isolate", lambda: None)
    monkeypatch.setattr(nursery_cli, "open_door", listen)
    monkeypatch.setattr(nursery_cli, "make_scribe", lambda *_: None)
    monkeypatch.setattr(nursery_cli, "hand_over", lambda *_: None)
    try:
        status = pupitre.cli.main(["nursery", *arguments])
    except SystemExit as end:
        status = end.code
    if status != 0:
        raise SystemExit(status)
    return executed


def test_a_home_of_somebody_else(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    home = cli.folder / "n.home"
    home.mkdir()
    stat_of = os.lstat

    def lstat(path: str) -> os.stat_result:
        found = list(stat_of(path))
        found[stat.ST_UID] += str(path) == str(home)
        return os.stat_result(found)

    monkeypatch.setattr(os, "lstat", lstat)
    with pytest.raises(SystemExit, match="2"):
        run_here(cli, monkeypatch, os.getuid(), "--socket", "n.sock")
    assert f"{home} is in the way" in capsys.readouterr().err


def test_system_needs_root(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_here(cli, monkeypatch, 12345, "--system")
    told = capsys.readouterr().err
    assert told == "pupitre nursery: --system needs root: without it you get a nursery of your own\n"


def test_system(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "weak_spot", lambda _: None)
    monkeypatch.setattr(nursery_cli, "prepare_home", lambda _: None)
    monkeypatch.setattr(settings, "SYSTEM_FILE", cli.config("min-uid = 500"))
    words = run_here(cli, monkeypatch, 0, "--system")
    assert "--system" in words
    assert words[words.index("--min-uid") + 1] == "500"
    assert words[words.index("--socket") + 1] == "/run/pupitre/nursery.sock"
    assert words[words.index("--home") + 1] == "/run/pupitre/nursery.home"


@pytest.mark.parametrize("weak", ["python", "config", "rehearsal", "package", "listener"])
def test_system_runs_only_what_is_roots(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weak: str
) -> None:
    rehearsal = cli.config(NOTEBOOK, "x.ipynb")
    file = cli.config(f'rehearsal = "{rehearsal}"')
    names = {
        "python": str(BESIDE),
        "config": str(file),
        "rehearsal": str(rehearsal),
        "package": os.path.dirname(json.__file__),
        "listener": str(cli.libexec / "pupitre-nursery"),
    }
    looked_at: list[str] = []

    def weak_spot(path: str) -> str | None:
        looked_at.append(path)
        return f"{path} belongs to user 7" if path == names[weak] else None

    monkeypatch.setattr(trust, "weak_spot", weak_spot)
    with pytest.raises(SystemExit, match="2"):
        run_here(cli, monkeypatch, 0, "--system", "--config", str(file), "--import", "json")
    told = capsys.readouterr().err
    assert told.endswith(f"would run as root what others can change: {names[weak]} belongs to user 7\n")


class Tree:
    """What lstat and readlink say of paths that are not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **entries: tuple[int, int] | str) -> None:
        self.entries = {"/" + name.replace("_", "/"): entry for name, entry in entries.items()}
        monkeypatch.setattr(posix, "lstat", self.lstat)
        monkeypatch.setattr(posix, "readlink", lambda path: self.entries[path])

    def lstat(self, path: str) -> os.stat_result:
        entry = self.entries.get(path, (0, 0o40755))
        mode = 0o120777 if isinstance(entry, str) else entry[1]
        uid = 0 if isinstance(entry, str) else entry[0]
        return os.stat_result((mode, 1, 1, 1, uid, 0 if mode & 0o1 else 60_000, 0, 0, 0, 0))


def test_weak_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    Tree(
        monkeypatch,
        ours=(0, 0o40755),
        theirs=(7, 0o40755),
        open=(0, 0o40777),
        sticky=(0, 0o41777),
        group=(0, 0o40770),
        link="/theirs/x",
        relative="theirs/x",
        good="/ours/x",
    )
    assert trust.weak_spot("/ours/x") is None
    assert trust.weak_spot("/good/y") is None
    assert trust.weak_spot("/sticky/x") is None
    assert trust.weak_spot("/sticky") == "/sticky can be written by everybody"
    assert trust.weak_spot("/theirs/x/y") == "/theirs belongs to user 7"
    assert trust.weak_spot("/open/x") == "/open can be written by everybody"
    assert trust.weak_spot("/group/x") == "/group can be written by group 60000"
    assert trust.weak_spot("/link/y") == "/theirs belongs to user 7"
    assert trust.weak_spot("/relative") == "/theirs belongs to user 7"
