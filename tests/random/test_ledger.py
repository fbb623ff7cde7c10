# SPDX-License-Identifier: BSD-3-Clause
"""The judge of the random lives finds what is wrong: each kind of fault, told to it as a kernel would show it."""

from itertools import count
from typing import Any

import pytest
from cells import Cell
from ledger import Exchange, Ledger, Press, Wrong
from plan import NEVER, PERHAPS, Ask
from raw import Message


class Tape:
    """What a kernel says, message by message; request `n` is sent at the time n."""

    def __init__(self, *asks: Ask) -> None:
        self.ledger = Ledger()
        self.numbers = count()
        for ask in asks:
            self.ledger.open(Exchange(ask, ask.number))

    def message(self, channel: str, msg_type: str, step: int, content: dict[str, Any]) -> Message:
        n = next(self.numbers)
        header = {"msg_id": f"s_1_{n}", "msg_type": msg_type}
        return Message(channel, [], header, {"step": step, "msg_id": "x"}, {}, content, [], [], 10.0 + n)

    def iopub(self, msg_type: str, step: int = 1, **content: Any) -> "Tape":
        self.ledger.published(self.message("iopub", msg_type, step, content))
        return self

    def busy(self, step: int = 1) -> "Tape":
        return self.iopub("status", step, execution_state="busy")

    def idle(self, step: int = 1) -> "Tape":
        return self.iopub("status", step, execution_state="idle")

    def text(self, text: str, step: int = 1) -> "Tape":
        return self.iopub("stream", step, name="stdout", text=text)

    def code(self, step: int = 1) -> "Tape":
        cell = self.ledger.exchanges[step].ask.cell
        return self.iopub("execute_input", step, code=cell and cell.code)

    def reply(self, step: int = 1, channel: str = "shell", msg_type: str = "execute_reply", **content: Any) -> "Tape":
        self.ledger.replied(self.message(channel, msg_type, step, {"status": "ok", **content}))
        return self

    def question(self, step: int = 1, prompt: str = "1? ") -> "Tape":
        self.ledger.asked(self.message("stdin", "input_request", step, {"prompt": prompt}))
        return self

    def whole(self, step: int = 1, text: str = "", **content: Any) -> "Tape":
        """A cell that runs as it should."""
        self.busy(step).code(step)
        if text:
            self.text(text, step)
        if content.get("status") == "error":
            self.iopub("error", step)
        return self.reply(step, **content).idle(step)

    def judge(self) -> int:
        assert not self.ledger.unfinished()
        return self.ledger.judge()


def cell(n: int = 1, **more: Any) -> Ask:
    return Ask(n, 0, cell=Cell(f"print({n})", **{"stdout": f"{n}\n", **more}))


def test_what_is_right_passes() -> None:
    tape = Tape(cell(1), cell(2), Ask(3, 0, "usage_request", "control"), Ask(4, 0, answered=NEVER))
    tape.busy(1).busy(3).code(1).text("1\n«9»").reply(3, "control", "usage_reply").idle(3).question(1).question(
        1, "«2? »"
    )
    tape.reply(1).idle(1).text("«1»").whole(2, "2\n")
    assert tape.judge() == 4


def test_an_unanswered_request_is_unfinished() -> None:
    for tape in (Tape(cell()), Tape(cell()).busy(), Tape(cell()).busy().idle(), Tape(cell()).busy().reply()):
        assert tape.ledger.unfinished()
    assert not Tape(Ask(1, 0, answered=PERHAPS)).ledger.unfinished()
    assert Tape(Ask(1, 0, answered=PERHAPS)).busy().ledger.unfinished()


ERROR: dict[str, Any] = {"status": "error", "ename": "KeyboardInterrupt"}

AT_ONCE = {
    "text before busy": lambda: Tape(cell()).text("1\n"),
    "two busy": lambda: Tape(cell()).busy().busy(),
    "two idle": lambda: Tape(cell()).busy().idle().idle(),
    "two replies": lambda: Tape(cell()).busy().reply().reply(),
    "reply of another type": lambda: Tape(cell()).busy().reply(msg_type="inspect_reply"),
    "reply on another channel": lambda: Tape(cell()).busy().reply(channel="control"),
    "reply to a message": lambda: Tape(Ask(1, 0, "comm_msg")).busy().reply(msg_type="comm_msg_reply"),
    "reply to nobody": lambda: Tape(cell()).busy().reply(2),
    "text for nobody": lambda: Tape(cell()).text("1", 2),
    "two at once": lambda: Tape(cell(1), cell(2)).busy(1).busy(2),
    "own text after idle": lambda: Tape(cell()).whole(text="1\n").text("1"),
    "error after idle": lambda: Tape(cell()).whole(text="1\n").iopub("error"),
    "input after idle": lambda: Tape(cell()).whole(text="1\n").code(),
    "question after idle": lambda: Tape(cell()).whole(text="1\n").question(),
    "question of another cell": lambda: Tape(cell(1), cell(2)).busy().question(1, "2? "),
    "question of no cell": lambda: Tape(cell()).busy().question(1, "? "),
    "unsigned request runs": lambda: Tape(Ask(1, 0, answered=NEVER)).busy(),
    "unsigned request is answered": lambda: Tape(Ask(1, 0, answered=NEVER)).reply(),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_seen_at_once(name: str) -> None:
    with pytest.raises(Wrong):
        AT_ONCE[name]()


IN_THE_END = {
    "reply after idle": lambda: Tape(cell()).busy().code().text("1\n").idle().reply(),
    "lost text": lambda: Tape(cell()).whole(text="1"),
    "somebody else's text": lambda: Tape(cell()).whole(text="1\n2\n"),
    "no execute_input": lambda: Tape(cell()).busy().text("1\n").reply().idle(),
    "late execute_input": lambda: Tape(cell()).busy().iopub("display_data").code().text("1\n").reply().idle(),
    "unknown status": lambda: Tape(cell()).whole(text="1\n", status="good"),
    "no value": lambda: Tape(cell(value="1")).whole(text="1\n"),
    "no error": lambda: Tape(cell(ename="NameError")).whole(text="1\n"),
    "an error": lambda: Tape(cell()).whole(text="1\n", status="error", ename="NameError"),
    "no display": lambda: Tape(cell(types=["display_data"])).whole(text="1\n"),
    "aborted": lambda: Tape(cell()).busy().reply(status="aborted").idle(),
    "stopped": lambda: Tape(cell()).whole(**ERROR),
    "stopped in silence": lambda: Tape(cell(needs_stop=True)).busy().code().reply(**ERROR).idle(),
    "ended by itself": lambda: Tape(cell(needs_stop=True)).whole(text="1\n"),
}


@pytest.mark.parametrize("name", IN_THE_END)
def test_seen_in_the_end(name: str) -> None:
    with pytest.raises(Wrong):
        IN_THE_END[name]().judge()


def test_messages_must_come_in_order() -> None:
    tape = Tape(cell())
    first = tape.message("iopub", "status", 1, {"execution_state": "busy"})
    tape.busy()
    with pytest.raises(Wrong):
        tape.ledger.published(first)


def test_stop_may_meet_the_cell_that_runs_only() -> None:
    """The message of number n is received at the time 10 + n."""

    def stopped(*presses: Press) -> None:
        tape = Tape(cell(1), cell(2))
        tape.ledger.presses += presses
        tape.whole(1, **ERROR).whole(2, **ERROR)  # the first is over at 14, the second at 19
        tape.judge()

    stopped(Press(11.0, 11.5), Press(16.0, 16.5))
    stopped(Press(11.0, None), Press(11.0, None))  # pressed before both, and seen nobody knows when
    with pytest.raises(Wrong, match="nobody pressed"):
        stopped(Press(11.0, None))
    with pytest.raises(Wrong, match="nobody pressed"):
        stopped(Press(20.0, None), Press(11.0, 12.0))
    with pytest.raises(Wrong, match="nobody pressed"):
        stopped(Press(11.0, 11.5), Press(0.5, 0.6))  # before they were sent


def test_aborted_may_be_what_was_sent_before_a_failure() -> None:
    def run(sent: float, **content: Any) -> None:
        tape = Tape(cell(1, ename="NameError", stdout="", content=content), cell(2))
        tape.ledger.exchanges[2].sent = sent
        tape.whole(1, status="error", ename="NameError").busy(2).reply(2, status="aborted").idle(2)  # failed at 13
        tape.judge()

    run(11.0)
    with pytest.raises(Wrong, match="aborted"):
        run(13.5)
    with pytest.raises(Wrong, match="aborted"):
        run(11.0, stop_on_error=False)
