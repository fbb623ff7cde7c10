# SPDX-License-Identifier: BSD-3-Clause
"""What is looked after between cells: builtins, the user's namespace, tracebacks that nobody could read."""

import builtins
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fake import door
from harness import Engine


@pytest.fixture
def replaced(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Call it with a builtin's name and what a cell put into its place; C's half of the repair is played."""

    def replace(name: str, value: Any) -> None:
        real = getattr(builtins, name)

        def repair(everything: bool) -> list[str]:
            if not everything:
                return []
            setattr(builtins, name, real)
            door.changed = {}
            return [f"builtins.{name}"]

        monkeypatch.setitem(door.__dict__, "repair", repair)
        monkeypatch.setattr("pupitre.door.repair", repair)
        monkeypatch.setattr(builtins, name, value)
        door.changed = {name: value}

    return replace


def refuse(*_: Any, **__: Any) -> Any:
    raise RuntimeError("not today")


@pytest.mark.parametrize("name", ["compile", "exec", "repr", "__import__", "len", "isinstance"])
def test_builtin_without_which_nothing_runs(engine: Engine, replaced: Any, name: str) -> None:
    engine.ok("None")
    real = getattr(builtins, name)
    engine.shell.user_ns["t_break"] = lambda: replaced(name, refuse)
    answer = engine.execute("t_break()")
    assert getattr(builtins, name) is real
    assert answer.text("stderr") == f"Pupitre put back what this cell had replaced or deleted: builtins.{name}\n"
    assert engine.result("1 + 1") == "2"


def test_wrapped_builtin_stays(engine: Engine, replaced: Any) -> None:
    """Somebody's own print() is theirs; and it is tried once, in silence."""
    calls = []
    real = builtins.print

    def loud(*words: Any, **options: Any) -> None:
        calls.append(words)
        real(*words, **options)

    engine.shell.user_ns["t_break"] = lambda: replaced("print", loud)
    answer = engine.ok("t_break()")
    assert answer.kinds == ["execute_input"] and calls == []
    assert engine.ok("print('x')").text() == "x\n" and calls == [("x",)]
    assert engine.execute("1/0").reply["ename"] == "ZeroDivisionError"
    assert engine.execute("(").reply["ename"] in ("SyntaxError", "IncompleteInputError", "_IncompleteInputError")
    assert builtins.print is loud


def test_rehearsal_leaves_no_trace(engine: Engine, replaced: Any) -> None:
    engine.execute("raise KeyError('kept')")
    shell = engine.shell
    count, shown, last = shell.execution_count, sys.last_value, dict(shell.user_ns)
    engine.kernel.executor.checkup._trusted = {}
    replaced("print", lambda *words: None)
    engine.kernel.executor.checkup.look(None, "")
    assert list(engine.kernel.executor.checkup._trusted) == ["print"]
    assert (shell.execution_count, sys.last_value, dict(shell.user_ns)) == (count, shown, last)
    assert shell.rehearsal is None and shell.last_execution_succeeded is False


def test_cell_that_never_ran(engine: Engine, replaced: Any) -> None:
    """A builtin that breaks only later: the cell before which it broke fails, the next one runs."""
    real = builtins.compile
    broken = False

    def moody(*args: Any, **options: Any) -> Any:
        if broken:
            raise RuntimeError("not today")
        return real(*args, **options)

    engine.shell.user_ns["t_break"] = lambda: replaced("compile", moody)
    engine.ok("t_break()")
    assert builtins.compile is moody
    broken = True
    answer = engine.execute("1 + 1")
    assert answer.reply["status"] == "error" and "builtins.compile" in answer.text("stderr")
    assert builtins.compile is real and engine.result("1 + 1") == "2"


def test_emptied_namespace(engine: Engine) -> None:
    kept = dict(engine.shell.user_ns)
    try:
        answer = engine.execute("get_ipython().user_ns.clear()")
        assert "get_ipython" in answer.text("stderr")
        assert engine.result("class C: pass\nC.__module__") == "'__main__'"
        assert engine.result("Out[len(In) - 2]") == "'__main__'"
    finally:
        for name, value in kept.items():  # but for _ and the like, which IPython compares with its own
            engine.shell.user_ns.setdefault(name, value)


def test_deep_traceback(engine: Engine) -> None:
    limit = sys.getrecursionlimit()
    try:
        answer = engine.execute(
            "import sys; sys.setrecursionlimit(20_000)\ndef t_down(n): return t_down(n + 1) + 1\nt_down(0)"
        )
    finally:
        sys.setrecursionlimit(limit)
    text = "\n".join(answer.one("error")["traceback"])
    assert answer.reply["ename"] == "RecursionError"
    left_out = int(text.partition("[... ")[2].partition(" frames in the middle are left out")[0].split()[-1])
    assert 18_000 < left_out < 20_000
    assert "left out" not in "\n".join(engine.execute("1/0").reply["traceback"])
