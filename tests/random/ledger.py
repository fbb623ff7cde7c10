# SPDX-License-Identifier: BSD-3-Clause
"""What every request of a random life brought, and whether that is right.

The kernel numbers its messages in the order in which it sends them, whatever the channel; so the order of a reply and
an idle, which come by different sockets, is known exactly.

For a request that is to be answered:

* busy is the first message on iopub that names it, and idle comes once; between them every message of a cell's own, its
  execute_input first;
* one reply if its type asks for one, on the channel it was sent on, before the idle; else none;
* no two requests that the worker serves overlap;
* after its idle come no status, no reply, no error, no execute_input, no execute_result and no question of it. What may
  come is what threads, tasks and timers bring that outlive the cell: text, displays and comm messages;
* unless Stop could have met it, a cell brings its own text, values and errors, no more and no less. Stop could have met
  it when it was pressed before the cell's idle, and the cell was sent before the kernel was known to have seen Stop.
  One Stop ends one request;
* it is aborted only if it was sent before a cell failed that stops on error.

A request that is not to be answered (unsigned, replayed, not JSON) brings nothing at all.
"""

import re
from dataclasses import dataclass, field

from cells import BACKGROUND
from plan import NEVER, ONCE, Ask, Cell
from raw import Message

LATE = {"stream", "display_data", "update_display_data", "clear_output", "comm_open", "comm_msg", "comm_close"}
FRONT = {"kernel_info_request", "connect_request", "interrupt_request", "usage_request", "debug_request"} | {
    f"{verb}_subshell_request" for verb in ("create", "delete", "list")
}
STOPPED = ("KeyboardInterrupt", "CancelledError")
OTHER_STATUSES = {"is_complete_reply": ("complete", "incomplete", "invalid", "unknown"), "usage_reply": ("None",)}


class Wrong(AssertionError):
    """The kernel did something that it must not."""


def number(message: Message) -> int:
    """The how manieth message it is of those that the kernel sent."""
    return int(message.header["msg_id"].rsplit("_", 1)[1])


@dataclass
class Press:
    """One Stop. `seen`: since when the kernel is known to have seen it. `exchange`: of an interrupt_request."""

    sent: float
    seen: float | None = None
    exchange: "Exchange | None" = None


@dataclass
class Exchange:
    """One request and what it brought. `lost`: its client has gone, so the reply may never be seen."""

    ask: Ask
    sent: float
    lost: bool = False
    busy: Message | None = None
    idle: Message | None = None
    reply: Message | None = None
    inside: list[Message] = field(default_factory=list)

    @property
    def wants_reply(self) -> bool:
        return self.ask.msg_type.endswith("_request")

    @property
    def worker_serves(self) -> bool:
        return self.ask.msg_type not in FRONT

    @property
    def is_over(self) -> bool:
        if self.busy is None and (self.ask.answered != ONCE or self.lost):  # it may never have arrived
            return True
        return self.idle is not None and (self.reply is not None or self.lost or not self.wants_reply)

    @property
    def status(self) -> str:
        return str(self.reply.content.get("status")) if self.reply else ""

    @property
    def was_stopped(self) -> bool:
        return self.status == "error" and self.reply is not None and self.reply.content.get("ename") in STOPPED

    def text(self, name: str) -> str:
        texts = [m.content["text"] for m in self.inside if m.type == "stream" and m.content["name"] == name]
        return BACKGROUND.sub("", "".join(texts))

    def story(self) -> str:
        came = [m for m in (self.busy, *self.inside[:20], self.reply, self.idle) if m]
        head = f"request {self.ask.number} of client {self.ask.client}, {self.ask.msg_type}, sent {self.sent:.3f}:"
        what = repr(self.ask.cell or self.ask.content)[:2000]
        return "\n".join([head, f"  {what}", *(f"  {number(m)} {m}" for m in came)])


class Ledger:
    """All requests of one life by their numbers, which travel in the header and come back in parent headers."""

    def __init__(self) -> None:
        self.exchanges: dict[int, Exchange] = {}
        self.presses: list[Press] = []
        self.running: Exchange | None = None  # at the worker, as far as iopub tells
        self.last = -1  # number of the last message on iopub
        self.judged: set[int] = set()
        self.aborters: list[Exchange] = []

    def open(self, exchange: Exchange) -> None:
        self.exchanges[exchange.ask.number] = exchange

    def unfinished(self) -> list[Exchange]:
        return [e for n, e in self.exchanges.items() if n not in self.judged and not e.is_over]

    def of(self, message: Message) -> Exchange | None:
        """The request that a message names; None for none."""
        step = message.parent.get("step")
        if step is None:
            return None
        exchange = self.exchanges.get(step)
        self.demand(exchange is not None, f"{message} names a request that nobody made", None)
        return exchange

    def demand(self, right: bool, what: str, exchange: Exchange | None) -> None:
        if not right:
            raise Wrong(what + ("\n" + exchange.story() if exchange else ""))

    # What comes.

    def published(self, message: Message) -> Exchange | None:
        """A message on iopub, in the order in which they come."""
        self.demand(number(message) > self.last, f"{number(message)} after {self.last}: {message}", None)
        self.last = number(message)
        exchange = self.of(message)
        if exchange is None:
            return None
        self.demand(exchange.ask.answered != NEVER, f"{message} of what is no request", exchange)
        if exchange.busy is None:
            self.begins(exchange, message)
        elif exchange.idle is not None:
            late = message.type in LATE and self.is_background(message)
            self.demand(late, f"after its idle: {number(message)} {message}", exchange)
        elif message.state is not None:
            self.ends(exchange, message)
        else:
            exchange.inside.append(message)
        return exchange

    @staticmethod
    def is_background(message: Message) -> bool:
        """Whether text is a thread's, a task's or a timer's."""
        return (
            message.type != "stream"
            or message.content["name"] != "stdout"
            or not BACKGROUND.sub("", message.content["text"])
        )

    def begins(self, exchange: Exchange, message: Message) -> None:
        self.demand(message.state == "busy", f"before its busy: {message}", exchange)
        exchange.busy = message
        if exchange.worker_serves:
            other = self.running
            self.demand(other is None, f"{message} while another runs: {other and other.story()}", exchange)
            self.running = exchange

    def ends(self, exchange: Exchange, message: Message) -> None:
        self.demand(message.state == "idle", f"a second busy: {message}", exchange)
        exchange.idle = message
        if exchange is self.running:
            self.running = None

    def replied(self, message: Message) -> Exchange | None:
        """A message on shell or control."""
        exchange = self.of(message)
        if exchange is None:
            raise Wrong(f"a reply to nobody: {message}")
        expected = exchange.ask.msg_type.removesuffix("_request") + "_reply"
        self.demand(exchange.ask.answered != NEVER, f"{message} to what is no request", exchange)
        self.demand(exchange.reply is None, f"a second reply: {message}", exchange)
        self.demand(message.type == expected and exchange.wants_reply, f"not {expected}: {message}", exchange)
        self.demand(message.channel == exchange.ask.channel, f"on the wrong channel: {message}", exchange)
        exchange.reply = message
        return exchange

    def asked(self, message: Message) -> tuple[Exchange, Exchange]:
        """A question on stdin: the request that it names, and the one whose cell asks. These are the same but for
        threads, which ask in the name of the cell that runs.
        """
        exchange = self.of(message)
        if exchange is None or exchange.ask.msg_type != "execute_request":
            raise Wrong(f"a question of nobody: {message}")
        over = exchange.idle is not None and number(message) > number(exchange.idle)
        self.demand(not over, f"a question after idle: {message}", exchange)
        prompt = re.match("(«?)([0-9]+)", message.content["prompt"])
        self.demand(prompt is not None, f"not a question of any cell: {message}", exchange)
        assert prompt
        owner = self.exchanges[int(prompt[2])]
        self.demand(owner is exchange or prompt[1] == "«", f"another cell's question: {message}", exchange)
        return exchange, owner

    # Judgement.

    def judge(self) -> int:
        """All that has ended since the last time, when nothing is open; how many those were."""
        done = [e for n, e in self.exchanges.items() if n not in self.judged and e.is_over]
        done.sort(key=lambda e: number(e.busy) if e.busy else 0)
        done = [e for e in done if e.busy is not None or e.ask.answered == NEVER]
        for exchange in done:
            self.judged.add(exchange.ask.number)
            if exchange.busy is not None:
                self.judge_one(exchange)
        self.judge_stops(done)
        self.presses.clear()
        self.aborters.clear()
        return len(done)

    def judge_one(self, e: Exchange) -> None:
        self.demand(e.idle is not None, "no idle", e)
        assert e.busy and e.idle
        if e.reply:
            self.demand(number(e.busy) < number(e.reply) < number(e.idle), "the reply is not before idle", e)
            allowed = ("ok", "error", "aborted", *OTHER_STATUSES.get(e.reply.type, ()))
            self.demand(e.status in allowed, f"status {e.status}", e)
        elif e.wants_reply and not e.lost:
            self.demand(e.ask.answered != ONCE, "no reply", e)
        if e.status == "aborted":
            self.judge_aborted(e)
        elif e.ask.cell and e.reply:
            self.judge_cell(e, e.ask.cell)
        elif e.ask.types is not None and not e.lost and not self.may_be_stopped(e):
            types = [m.type for m in e.inside if m.type != "stream"]
            self.demand(types == e.ask.types, f"{types} instead of {e.ask.types}", e)
            if e.ask.msg_type == "comm_msg":
                self.demand(e.inside[0].buffers == e.ask.buffers, "not the buffers that were sent", e)
        if e.ask.msg_type == "execute_request" and (e.lost or self.may_abort(e)):
            self.aborters.append(e)

    @staticmethod
    def may_abort(e: Exchange) -> bool:
        return e.status == "error" and (e.ask.cell is None or e.ask.cell.stops_on_error)

    def judge_aborted(self, e: Exchange) -> None:
        self.demand(e.ask.msg_type == "execute_request", "aborted", e)
        self.demand(not [m for m in e.inside if m.type != "stream"], "more than the end of something aborted", e)
        assert e.busy

        def aborts(other: Exchange) -> bool:
            assert other.idle and e.busy
            told = other.reply.received if other.reply else other.idle.received
            return number(other.idle) < number(e.busy) and e.sent < told

        self.demand(any(map(aborts, self.aborters)), "aborted, and no cell failed before that stops on error", e)

    def judge_cell(self, e: Exchange, cell: Cell) -> None:
        own = [m for m in e.inside if m.type != "stream"]
        inputs = [m for m in own if m.type == "execute_input"]
        self.demand(len(inputs) == (not cell.silent), f"{len(inputs)} execute_input", e)
        if inputs:
            self.demand(e.inside.index(inputs[0]) == 0 or own[0] is inputs[0], "something before execute_input", e)
            self.demand(inputs[0].content["code"] == cell.code, "not the code that was sent", e)
        errors = [m for m in own if m.type == "error"]
        self.demand(bool(errors) or not e.was_stopped, "stopped, and nothing on iopub says so", e)
        if self.may_be_stopped(e):
            return
        self.demand(not cell.needs_stop, "ended without Stop", e)
        if not cell.compare:
            return
        assert e.reply
        ename = e.reply.content.get("ename")
        self.demand(ename == cell.ename, f"{ename} instead of {cell.ename}", e)
        stdout = e.text("stdout")
        self.demand(stdout == cell.stdout, f"text {stdout[-300:]!r}, not {cell.stdout[-300:]!r}", e)
        values = [m.content["data"]["text/plain"] for m in own if m.type == "execute_result"]
        expected = [] if cell.value is None else [cell.value]
        self.demand(values == expected, f"values {values}, not {expected}", e)
        rest = [m.type for m in own if m.type not in ("execute_input", "execute_result", "error")]
        self.demand(rest == cell.types, f"{rest} instead of {cell.types}", e)

    def may_be_stopped(self, e: Exchange) -> bool:
        return any(self.could_meet(press, e) for press in self.presses)

    def could_meet(self, press: Press, e: Exchange) -> bool:
        assert e.busy and e.idle
        by = press.exchange
        if by and by.busy and by.idle:  # the kernel's own order
            return number(e.busy) < number(by.idle) and number(by.busy) < number(e.idle)
        return press.sent <= e.idle.received and (press.seen is None or e.sent <= press.seen)

    def judge_stops(self, done: list[Exchange]) -> None:
        """Each request that was stopped needs a Stop of its own: the one of those that could have met it that was the
        first to be over. (A cell that raises such an exception itself says so.)"""
        left = list(self.presses)
        for e in done:
            if not e.was_stopped or (e.ask.cell and e.ask.cell.ename in STOPPED):
                continue
            could = [press for press in left if self.could_meet(press, e)]
            self.demand(bool(could), "stopped, and nobody pressed Stop for it", e)
            left.remove(min(could, key=lambda press: press.seen or float("inf")))
