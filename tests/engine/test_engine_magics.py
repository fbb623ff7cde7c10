# SPDX-License-Identifier: BSD-3-Clause
"""spec N: magics, payloads, !commands."""

import re
from pathlib import Path

import pytest
from harness import Engine


def payload(engine: Engine, code: str) -> dict[str, object]:
    (one,) = engine.ok(code).reply["payload"]
    return one  # type: ignore[no-any-return]


def test_pager(engine: Engine, tmp_path: Path) -> None:
    answer = engine.ok("print?")
    (page,) = answer.reply["payload"]
    assert page["source"] == "page" and page["start"] == 0 and "Prints the values" in page["data"]["text/plain"]
    assert answer.kinds == ["execute_input"]
    (tmp_path / "a.txt").write_text("some text")
    assert payload(engine, f"%less {tmp_path}/a.txt")["data"] == {"text/plain": "some text"}
    (tmp_path / "a.py").write_text("import os")
    colours = payload(engine, f"%more {tmp_path}/a.py")["data"]["text/plain"]  # type: ignore[index]
    assert re.sub(r"\x1b\[[\d;]*m", "", colours).strip() == "import os"
    assert engine.execute("%less").reply["ename"] == "UsageError"


def test_edit(engine: Engine, tmp_path: Path) -> None:
    expected = {"source": "edit_magic", "filename": str(tmp_path / "x.py"), "line_number": 3}
    assert payload(engine, f"%edit -n 3 {tmp_path}/x.py") == expected
    assert payload(engine, f"%ed -n 3 {tmp_path}/x.py") == expected
    assert payload(engine, f"%edit {tmp_path}/x.py")["line_number"] is None


def test_clear(engine: Engine) -> None:
    answer = engine.ok("%clear")
    assert answer.kinds == ["execute_input", "stdout"] and answer.text() == engine.ok("!clear").text()


def test_last_payload_of_a_source_wins(engine: Engine) -> None:
    assert payload(engine, "get_ipython().set_next_input('a')\nget_ipython().set_next_input('b', replace=True)") == {
        "source": "set_next_input",
        "text": "b",
        "replace": True,
    }


def test_autosave(engine: Engine) -> None:
    answer = engine.ok("%autosave 30")
    assert "30000" in answer.one("display_data")["data"]["application/javascript"] and "30 seconds" in answer.text()
    assert engine.execute("%autosave soon").reply["ename"] == "UsageError"


def test_qtconsole(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from pupitre import connect

    started = []
    monkeypatch.setattr(connect, "Popen", lambda command, **_: started.append(command))
    engine.ok("%qtconsole --style monokai")
    assert started[0][3:] == ["--existing", str(engine.home / "c.json"), "--style", "monokai"]


def test_system_commands(engine: Engine) -> None:
    assert engine.ok("!echo a b").text() == "a b\r\n"
    assert engine.result("!!echo c") == "['c']"
    assert engine.ok("!exit 3").text() == "" and engine.result("_exit_code") == "3"
    assert engine.execute("!sleep 1 &").reply["ename"] == "OSError"
    assert engine.ok("%%bash\necho from bash").text() == "from bash\n"


def test_gui(engine: Engine) -> None:
    engine.ok("%gui")
    engine.ok("%gui asyncio")
    assert engine.execute("get_ipython().enable_gui('qt')").reply["ename"] == "UsageError"
    answer = engine.execute("get_ipython().enable_gui('nonsense')")
    assert "'nonsense'" in answer.reply["evalue"] and "asyncio, inline" in answer.reply["evalue"]


@pytest.mark.parametrize(
    "code",
    ["%timeit -n1 -r1 pass", "%%time\npass", "%who", "%pwd", "%env HOME", "%lsmagic", "%history -n 1", "%prun -q pass"],
)
def test_ipythons_own(engine: Engine, code: str) -> None:
    engine.ok(code)


def test_load_and_run(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("import sys\nt_ran = sys.argv[1:]\nprint(__name__, t_ran)\n")
    assert engine.ok(f"%run {tmp_path}/s.py a b").text() == "__main__ ['a', 'b']\n"
    assert payload(engine, f"%load {tmp_path}/s.py")["replace"] is True
