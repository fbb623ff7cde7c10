# SPDX-License-Identifier: BSD-3-Clause
"""Plays a plan against a kernel, and has the ledger judge what comes of it."""

import heapq
import json
import signal
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import zmq
from cells import PRESS, SETUP, Answer
from launch import Kernel
from ledger import Exchange, Ledger, Press, Wrong, number
from plan import CLIENTS, SLOW, Ask, Garbage, Settle, Step, Stop, Vanish, Wait
from raw import DEADLINE, DELIMITER, Client, Message

ARRIVAL = 1.0  # seconds in which what a vanished client had sent arrives
QUIET = 0.05  # seconds in which what is left comes
IGNORED = "\nKeyboardInterrupt: \n"  # the end of what Python writes below "Exception ignored in"
NOBODY = "this client does not listen on its stdin channel"  # yet
SLOW_TURN = 0.002  # seconds between two looks of a slow reader


class Player:
    """One kernel, its clients, and the watcher, who reads all that the kernel publishes."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ledger = Ledger()
        self.watcher = kernel.client(all_sessions=True)
        self.clients = [kernel.client(wait=False, hwm=int(who == SLOW)) for who in range(CLIENTS)]
        self.seen: dict[Client, list[int]] = {}  # what the other subscribers saw
        self.published: list[int] = []
        self.extra = count(1 << 30)  # numbers for requests that the plan does not have
        self.due: list[tuple[float, int, Callable[[], None]]] = []  # what is to be done, and when
        self.order = count()
        self.progress = time.monotonic()
        self.step: Step | None = None
        self.judged = 0
        self.names: dict[zmq.Socket[bytes], tuple[Client, str]] = {}
        self.poller = zmq.Poller()
        self.marks: dict[int, int] = {}  # how many of a request's marks were seen
        self.questions: dict[int, int] = {}  # how many questions it asked
        self.fences: dict[int, Press] = {}  # Stops by the requests whose replies tell that the kernel has seen them
        self.slow: list[zmq.Socket[bytes]] = []  # read only when everybody reads
        for client in (self.watcher, *self.clients):
            self.listen(client)

    def listen(self, client: Client) -> None:
        for channel, socket in client.sockets.items():
            self.names[socket] = (client, channel)
            if channel == "iopub" and client.hwm:
                self.slow.append(socket)
            else:
                self.poller.register(socket, zmq.POLLIN)

    # Playing.

    def play(self, steps: list[Step]) -> None:
        """All of it. `judged` counts the requests that went well, `step` is where it stands."""
        self.begin()
        for self.step in steps:
            if isinstance(self.step, Settle):
                self.settle()
                self.judged += self.ledger.judge()
            else:
                self.act(self.step)
                self.pump(0)
        self.finish()

    def begin(self) -> None:
        """Names that the cells use, the comm that is talked to, and connections of all clients on all channels."""
        self.ask(Ask(-2, -1, content={"code": SETUP, "silent": True}))
        self.ask(Ask(-1, -1, "comm_open", content={"comm_id": "c0", "target_name": "random", "data": {}}))
        for who in range(CLIENTS):
            self.ask(Ask(next(self.extra), who, "kernel_info_request", "control"))
        self.settle()
        while len(self.seen) < CLIENTS:  # the socket that connected last
            self.pump(QUIET, everybody=True)
        self.ledger.judge()
        for client in (self.watcher, *self.clients):
            client.wait_stdin()
        assert self.kernel.front
        self.descriptors = self.kernel.front.descriptors()

    def act(self, step: Step) -> None:
        if isinstance(step, Ask):
            self.ask(step)
        elif isinstance(step, Stop):
            self.pump(step.delay)
            self.press(step.by_message)
        elif isinstance(step, Wait):
            self.pump(step.seconds)
        elif isinstance(step, Vanish):
            self.vanish(step)
        elif isinstance(step, Garbage):
            self.clients[0].send_frames(step.channel, step.frames)

    def settle(self) -> None:
        """Read until nothing is open; fail when nothing moves any more."""
        self.progress = time.monotonic()
        while self.ledger.unfinished() or self.due or self.fences:
            self.pump(0.1, everybody=True)
            if time.monotonic() - self.progress > DEADLINE:
                stories = [exchange.story() for exchange in self.ledger.unfinished()]
                raise Wrong(f"nothing for {DEADLINE} s, and open are\n" + "\n".join(stories))

    def finish(self) -> None:
        """Nothing may come any more but background text; every subscriber saw the same; and the front has no more
        descriptors open than at the beginning, when it had as many clients.
        """
        for who in range(-1, CLIENTS):
            self.ask(Ask(next(self.extra), who, "kernel_info_request"))
        self.settle()
        self.ledger.judge()
        end = time.monotonic() + DEADLINE
        while any(map(self.is_behind, self.seen)) and time.monotonic() < end:
            self.pump(QUIET, everybody=True)
        for client in self.seen:
            if self.is_behind(client):
                raise Wrong(f"client {client.session} saw {self.seen[client][-20:]}, others {self.published[-20:]}")
        assert self.kernel.front
        self.kernel.front.wait_descriptors(self.descriptors)

    def is_behind(self, client: Client) -> bool:
        """Whether it has not seen all that the watcher has seen since the client came."""
        seen = self.seen[client]
        at = self.published.index(seen[0])
        return len(seen) < len(self.published) - at or seen[: len(self.published) - at] != self.published[at:]

    # Asking.

    def client_of(self, who: int) -> Client:
        return self.watcher if who < 0 else self.clients[who]

    def ask(self, ask: Ask) -> Exchange:
        client = self.client_of(ask.client)
        header: Any = client.header(ask.msg_type, step=ask.number, **ask.header)
        content: Any = ask.content
        if ask.cell:
            content = {"code": ask.cell.code, "allow_stdin": True, "user_expressions": ask.cell.expressions}
            content |= ask.cell.content
        parts: dict[str, Any] = {"metadata": ask.metadata, "parent": ask.parent, "buffers": ask.buffers}
        frames = client.frames(header if ask.raw_header is None else ask.raw_header, content, **parts)
        if ask.damage == "signature":
            frames[1] = frames[1][:-1] + (b"0" if frames[1][-1:] != b"0" else b"1")
        elif ask.damage == "short":
            frames = frames[:4]
        exchange = Exchange(ask, time.monotonic())
        self.ledger.open(exchange)
        for _ in range(2 if ask.damage == "twice" else 1):
            client.send_frames(ask.channel, frames)
        self.progress = time.monotonic()
        return exchange

    def press(self, by_message: bool) -> None:
        """Stop, and a question by whose answer it is known that the kernel has seen it."""
        press = Press(time.monotonic())
        self.ledger.presses.append(press)
        self.watcher.note(f"Stop by {'message' if by_message else 'signal'}")
        if by_message:
            press.exchange = self.ask(Ask(next(self.extra), -1, "interrupt_request", "control"))
            self.fences[press.exchange.ask.number] = press
        else:
            self.kernel.signal(signal.SIGINT)
            fence = self.ask(Ask(next(self.extra), -1, "kernel_info_request", "control"))
            self.fences[fence.ask.number] = press

    def vanish(self, step: Vanish) -> None:
        old = self.clients[step.client]
        for exchange in list(self.ledger.exchanges.values()):
            if exchange.ask.client == step.client and exchange.reply is None:
                exchange.lost = True
                if exchange.idle is None and exchange.ask.cell and exchange.ask.cell.answers:
                    self.release(exchange, time.monotonic() + ARRIVAL)
        for socket in old.sockets.values():
            if socket in self.slow:
                self.slow.remove(socket)
            else:
                self.poller.unregister(socket)
            del self.names[socket]
        self.seen.pop(old, None)
        old.close()
        self.kernel.clients.remove(old)
        session = old.session if step.same_session else None
        new = self.kernel.client(wait=False, session=session, hwm=int(step.client == SLOW))
        new.count = old.count
        if step.same_session:
            new.wait_stdin()  # or what the kernel asks may go down the old connection, before it knows of the new one
        self.clients[step.client] = new
        self.listen(new)

    # Reading.

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.order), act))

    def pump(self, seconds: float, *, everybody: bool = False) -> None:
        """Read what comes within this time, and do what is due. `everybody`: slow readers read, too, and the first
        message is enough."""
        end = time.monotonic() + seconds
        while True:
            while self.due and self.due[0][0] <= time.monotonic():
                heapq.heappop(self.due)[2]()
            until = min(end, self.due[0][0]) if self.due else end
            if everybody:
                until = min(until, time.monotonic() + SLOW_TURN)
            ready = self.poller.poll(max(0.0, until - time.monotonic()) * 1000)
            got = sum([self.read(socket, 100) for socket, _ in ready])
            if everybody:
                got += sum([self.read(socket, 10) for socket in self.slow])
            if time.monotonic() >= end or (everybody and got):
                return

    def read(self, socket: "zmq.Socket[bytes]", most: int) -> int:
        """Take up to `most` messages; how many there were."""
        for n in range(most):
            if socket not in self.names:  # its client has vanished
                return n
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return n
            self.take(*self.names[socket], frames)
        return most

    def take(self, client: Client, channel: str, frames: list[bytes]) -> None:
        if channel == "iopub" and client is not self.watcher:
            header = json.loads(frames[frames.index(DELIMITER) + 2])
            self.seen.setdefault(client, []).append(int(header["msg_id"].rsplit("_", 1)[1]))
            return
        message = client.parse(channel, frames)
        if channel == "iopub":
            self.published.append(number(message))
            exchange = self.ledger.published(message)
            if exchange and message.type == "stream":
                self.look_for_marks(exchange)
        elif channel == "stdin":
            exchange, owner = self.ledger.asked(message)
            self.on_question(exchange, owner, message)
        else:
            exchange = self.ledger.replied(message)
            if exchange and (press := self.fences.pop(exchange.ask.number, None)):
                press.seen = time.monotonic()
        if exchange:
            self.progress = time.monotonic()

    # Answering.

    def look_for_marks(self, exchange: Exchange) -> None:
        """The cell says that it needs a Stop to go on; or Python, that it ignored one, which came in a finaliser or the
        like; or the kernel, that it found nobody to ask.
        """
        marks = exchange.text("stdout").count(PRESS)
        marks += sum(exchange.text("stderr").count(words) for words in (IGNORED, NOBODY))
        n = exchange.ask.number
        for _ in range(self.marks.get(n, 0), marks):
            self.later(n % 4 * 0.0005, lambda: self.press_for(exchange))
        self.marks[n] = marks

    def press_for(self, exchange: Exchange) -> None:
        if exchange.idle is None:
            self.press(exchange.ask.number % 2 == 0)

    def release(self, exchange: Exchange, until: float) -> None:
        """Its client has vanished: nobody will answer its questions. It may not have arrived `until` then."""
        if exchange.idle is not None:
            return
        if exchange is self.ledger.running:
            self.press(exchange.ask.number % 2 == 0)
        elif not self.ledger.unfinished() and time.monotonic() > until:
            return  # it never arrived
        self.later(0.1, lambda: self.release(exchange, until))

    def on_question(self, exchange: Exchange, owner: Exchange, question: Message) -> None:
        assert owner.ask.cell
        n = owner.ask.number
        at = self.questions.get(n, 0)
        self.questions[n] = at + 1
        if at >= len(owner.ask.cell.answers):
            raise Wrong(f"more questions than the cell has: {question}\n{owner.story()}")
        answer = owner.ask.cell.answers[at]
        if answer.stop:
            self.later(answer.delay, lambda: self.press_for(exchange))
        if not answer.stop or answer.late:
            self.later(answer.delay + 0.01 * answer.stop, lambda: self.answer(exchange, answer, question))

    def answer(self, exchange: Exchange, answer: Answer, question: Message) -> None:
        client = self.client_of(exchange.ask.client)
        if answer.before == "stale":
            other = {**question.header, "msg_id": "another"}
            client.send_frames("stdin", client.frames(client.header("input_reply"), {"value": "stale"}, parent=other))
        elif answer.before == "forged":
            frames = client.frames(client.header("input_reply"), {"value": "forged"}, parent=question.header)
            client.send_frames("stdin", [frames[0], b"0" * 64, *frames[2:]])
        client.answer(answer.value, question)
