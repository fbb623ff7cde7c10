# SPDX-License-Identifier: BSD-3-Clause
"""spec I: input() and getpass()."""

import json
from collections.abc import Callable

import pytest
from fake import Frame, door
from harness import Engine
from pupitre import door as engine_door


@pytest.fixture
def reply() -> Callable[..., None]:
    """Answer the next INPUT_REQUEST with this content."""

    def answer(*contents: dict[str, object]) -> None:
        waiting = list(contents)
        real = door.send

        def send(frame_type: int, flags: int, serial: int, parts: list[bytes], /) -> None:
            real(frame_type, flags, serial, parts)
            if frame_type == door.INPUT_REQUEST and waiting:
                door.answers.append((flags, json.dumps(waiting.pop(0)).encode()))

        answers.append(real)
        engine_door.send = send  # type: ignore[attr-defined]

    answers: list[object] = []
    original = engine_door.send
    yield answer  # type: ignore[misc]
    engine_door.send = original  # type: ignore[attr-defined]


def asked() -> list[Frame]:
    return [frame for frame in door.sent if frame[0] == door.INPUT_REQUEST]


def test_input(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "Ada"})
    answer = engine.ok("print('hello', end=''); t_name = input('name? ')\nt_name", allow_stdin=True)
    assert answer.one("execute_result")["data"]["text/plain"] == "'Ada'"
    (frame,) = asked()
    assert frame[2] == engine.serial and json.loads(frame[3][0]) == {"prompt": "name? ", "password": False}
    kinds = [entry[0] if entry[0] == "text" else entry[1] for entry in door.order]
    assert kinds.index("text") < kinds.index(door.INPUT_REQUEST)


def test_getpass(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "s3"}, {"value": "s4"})
    assert engine.result("import getpass; getpass.getpass('key: ')", allow_stdin=True) == "'s3'"
    assert json.loads(asked()[0][3][0]) == {"prompt": "key: ", "password": True}
    with pytest.warns(UserWarning, match="stream"):
        engine.ok("import sys; getpass.getpass(stream=sys.stderr)", allow_stdin=True)


def test_prompt_of_any_type(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": ""})
    assert engine.result("input(prompt=3.5)", allow_stdin=True) == "''"
    assert json.loads(asked()[0][3][0])["prompt"] == "3.5"


@pytest.mark.parametrize(("code", "name"), [("input()", "raw_input"), ("__import__('getpass').getpass()", "getpass")])
def test_not_allowed(engine: Engine, code: str, name: str) -> None:
    answer = engine.execute(code)
    assert answer.reply["ename"] == "StdinNotImplementedError"
    assert answer.reply["evalue"] == f"{name} was called, but this frontend does not support input requests."
    assert asked() == []


def test_end_of_file_and_missing_value(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "\x04"}, {})
    assert engine.execute("input()", allow_stdin=True).reply["ename"] == "EOFError"
    assert engine.result("input()", allow_stdin=True) == "''"


def test_stale_answer_is_not_taken(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "new"})
    numbers = [frame[1] for frame in asked()]
    door.answers[:] = [(number, b'{"value":"old"}') for number in (*numbers, 0xFFFF)]
    assert engine.result("input()", allow_stdin=True) == "'new'"
    assert asked()[-1][1] not in numbers


def test_questions_have_numbers_of_their_own(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "1"}, {"value": "2"})
    assert engine.result("input() + input()", allow_stdin=True) == "'12'"
    first, second = (frame[1] for frame in asked()[-2:])
    assert first != second and 0 < first <= 0xFFFF and 0 < second <= 0xFFFF


def test_interrupt(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(number: int, /) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_door, "wait_for_answer", wait)
    answer = engine.execute("input()", allow_stdin=True)
    assert answer.reply["ename"] == "KeyboardInterrupt" and answer.reply["evalue"] == "Interrupted by user"


def test_no_answer_will_come(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_door, "wait_for_answer", lambda number, /: None)
    answer = engine.execute("input()", allow_stdin=True)
    assert answer.reply["ename"] == "EOFError" and "has ended" in answer.reply["evalue"]


def test_front_gone(engine: Engine) -> None:
    assert engine.execute("input()", allow_stdin=True).reply["ename"] == "EOFError"


def test_input_in_a_thread(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "t"})
    code = "import threading\ndef t_f(): print(input('q'))\nt_t = threading.Thread(target=t_f); t_t.start(); t_t.join()"
    assert engine.ok(code, allow_stdin=True).text() == "t\n"


def test_pdb_in_a_cell(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "p t_secret + 1"}, {"value": "c"})
    answer = engine.ok("t_secret = 41\nimport pdb; pdb.Pdb().set_trace()\nt_after = 1", allow_stdin=True)
    assert "42" in answer.text() and len(asked()) == 2


def test_debug_magic(engine: Engine, reply: Callable[..., None]) -> None:
    engine.execute("def t_f():\n    t_inside = 5\n    1/0\nt_f()")
    reply({"value": "p t_inside"}, {"value": "q"})
    assert "5" in engine.ok("%debug", allow_stdin=True).text()
