# SPDX-License-Identifier: BSD-3-Clause
"""spec I: input() and getpass()."""

import json
import threading
from collections.abc import Callable

import pytest
from fake import Frame, door
from harness import Engine
from pupitre import parent


@pytest.fixture
def reply() -> Callable[..., None]:
    """Answer the next INPUT_REQUEST with this content."""

    def answer(*contents: dict[str, object]) -> None:
        waiting = list(contents)
        real = door.send

        def send(frame_type: int, flags: int, serial: int, parts: list[bytes], /) -> None:
            real(frame_type, flags, serial, parts)
            if frame_type == door.INPUT_REQUEST and waiting:
                door.inbox.append((door.INPUT_REPLY, 0, serial, [json.dumps(waiting.pop(0)).encode()]))

        answers.append(real)
        sys_door.send = send  # type: ignore[attr-defined]

    from pupitre import door as sys_door

    answers: list[object] = []
    original = sys_door.send
    yield answer  # type: ignore[misc]
    sys_door.send = original  # type: ignore[attr-defined]


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
    door.inbox.clear()
    serial = engine.serial + 1
    real_receive = door.receive

    def late(timeout: float | None, /) -> Frame | None:
        return real_receive(timeout)

    engine.shell.user_ns["t_late"] = lambda: door.inbox.append((door.INPUT_REPLY, 0, serial, [b'{"value":"old"}']))
    assert late is not None
    assert engine.result("t_late(); input()", allow_stdin=True) == "'new'"


def test_interrupt(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from pupitre import door as engine_door

    def receive(timeout: float | None, /) -> Frame | None:
        if timeout == 0:
            return None
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_door, "receive", receive)
    answer = engine.execute("input()", allow_stdin=True)
    assert answer.reply["ename"] == "KeyboardInterrupt" and answer.reply["evalue"] == "Interrupted by user"


def test_exit_while_asking(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from pupitre import door as engine_door

    frames: list[Frame] = [(door.EXIT, 0, 0, [])]
    monkeypatch.setattr(engine_door, "receive", lambda timeout, /: None if timeout == 0 else frames.pop())
    answer = engine.execute("input()", allow_stdin=True)
    assert answer.reply["ename"] == "KeyboardInterrupt" and engine.loop.exiting
    engine.loop.exiting = False


def test_front_gone(engine: Engine) -> None:
    assert engine.execute("input()", allow_stdin=True).reply["ename"] == "EOFError"


def test_input_in_a_thread(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "t"})
    code = "import threading\ndef t_f(): print(input('q'))\nt_t = threading.Thread(target=t_f); t_t.start(); t_t.join()"
    assert engine.ok(code, allow_stdin=True).text() == "t\n"


def test_thread_whose_answer_the_main_loop_took(engine: Engine) -> None:
    stdin = engine.kernel.stdin
    message = parent.Parent(parent.NOBODY)
    message.serial = 7
    got = []
    asking = threading.Event()
    real = door.send

    def ask() -> None:
        door.parent.set((7, message))
        got.append(stdin.ask("q", password=False))

    door.on_send = lambda frame: asking.set() if frame[0] == door.INPUT_REQUEST else None
    thread = threading.Thread(target=ask)
    thread.start()
    assert asking.wait(5)
    engine.kernel.handle(door.INPUT_REPLY, 0, 7, [b'{"value":"passed on"}'])
    thread.join(5)
    door.on_send = None
    assert got == ["passed on"] and real is not None


def test_pdb_in_a_cell(engine: Engine, reply: Callable[..., None]) -> None:
    reply({"value": "p t_secret + 1"}, {"value": "c"})
    answer = engine.ok("t_secret = 41\nimport pdb; pdb.Pdb().set_trace()\nt_after = 1", allow_stdin=True)
    assert "42" in answer.text() and len(asked()) == 2


def test_debug_magic(engine: Engine, reply: Callable[..., None]) -> None:
    engine.execute("def t_f():\n    t_inside = 5\n    1/0\nt_f()")
    reply({"value": "p t_inside"}, {"value": "q"})
    assert "5" in engine.ok("%debug", allow_stdin=True).text()
