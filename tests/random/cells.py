# SPDX-License-Identifier: BSD-3-Clause
"""Cells of a random life, and what each must bring when nobody stops it.

A cell marks what it prints: plain text is its own and comes before its idle. Text in «angles» is written by a thread, a
task or a timer that may outlive it, so it may come at any time, for any cell. PRESS asks for the Stop button.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

PRESS = "⏻"
BACKGROUND = re.compile("«[^»]*»")

# What every life begins with.
SETUP = """
import asyncio, getpass, os, subprocess, sys, threading, time

def opened(channel, message):
    channel.on_msg(lambda m: channel.send({'echo': m['content']['data']}, buffers=m['buffers']))
    channel.send({'opened': True})

get_ipython().kernel.comm_manager.register_target('random', opened)

def late(text, seconds):
    time.sleep(seconds)
    sys.stdout.write(text)

async def late_task(text, seconds):
    await asyncio.sleep(seconds)
    sys.stdout.write(text)

def in_thread(*call):
    thread = threading.Thread(target=call[0], args=call[1:], daemon=True)
    thread.start()
    return thread

def ask_and_tell(n):
    try:
        sys.stdout.write(f'«{n} {input(f"«{n}? »")}»')
    except EOFError:
        sys.stdout.write(f'«{n} EOF»')

tasks = []
"""


@dataclass
class Answer:
    """What the client does when it is asked: answer after `delay` seconds, perhaps with a wrong answer first; or press
    Stop instead, and perhaps answer too late. Each question begins with the number of its cell.
    """

    value: str = ""
    delay: float = 0.0
    before: str = ""  # "", "stale", "forged"
    stop: bool = False
    late: bool = False


@dataclass
class Cell:
    """`stdout`, `value`, `ename`: what it brings if it is not stopped. `calm`: it may be compared."""

    code: str
    stdout: str = ""
    value: str | None = None
    ename: str | None = None
    types: list[str] = field(default_factory=list)  # other messages that it publishes, in order
    answers: list[Answer] = field(default_factory=list)
    expressions: dict[str, str] = field(default_factory=dict)
    content: dict[str, bool] = field(default_factory=dict)  # silent, stop_on_error, store_history
    needs_stop: bool = False
    compare: bool = True

    @property
    def silent(self) -> bool:
        return self.content.get("silent", False)

    @property
    def stops_on_error(self) -> bool:
        return self.content.get("stop_on_error", True) and not self.silent


Maker = Callable[[Random, int], Cell]


def brief(random: Random) -> float:
    """Seconds: mostly nothing, sometimes long enough for something to happen meanwhile."""
    return random.choice([0.0, 0.0, 0.0005, 0.002, 0.01, 0.03])


def nothing(random: Random, n: int) -> Cell:
    return Cell(random.choice(["", " ", "# nothing", "\n\n"]))


def value(random: Random, n: int) -> Cell:
    return Cell(f"{n}", value=str(n), content={"store_history": random.random() < 0.7})


def printed(random: Random, n: int) -> Cell:
    lines = random.choice([1, 2, 10, 300])
    flush = random.random() < 0.3
    code = f"for i in range({lines}): print({n}, i, flush={flush})"
    return Cell(code, "".join(f"{n} {i}\n" for i in range(lines)))


def printed_at_length(random: Random, n: int) -> Cell:
    """More than the ring holds, and telling if a byte is missing."""
    count = random.randrange(1, 40_000)
    return Cell(f"print(*range({count}))", " ".join(map(str, range(count))) + "\n")


def printed_in_pieces(random: Random, n: int) -> Cell:
    """Text of odd lengths, so that records end everywhere in the ring."""
    sizes = [random.randrange(1, 9000) for _ in range(20)]
    code = f"for size in {sizes}: sys.stdout.write('é' * size); sys.stdout.write('|')"
    return Cell(code, "".join("é" * size + "|" for size in sizes))


def printed_by_c(random: Random, n: int) -> Cell:
    size = random.randrange(1, 30_000)
    return Cell(f"_ = os.write(1, b'c' * {size})", "c" * size)


def silent(random: Random, n: int) -> Cell:
    return Cell(f"print({n}); {n}", f"{n}\n", content={"silent": True})


def shown(random: Random, n: int) -> Cell:
    count = random.choice([1, 3, 40])
    code = f"for i in range({count}): display(i)"
    return Cell(code, types=["display_data"] * count)


def updated(random: Random, n: int) -> Cell:
    return Cell(f"h = display({n}, display_id=True); h.update(1)", types=["display_data", "update_display_data"])


def failing(random: Random, n: int) -> Cell:
    code, ename = random.choice(
        [
            ("1/0", "ZeroDivisionError"),
            ("unknown_name", "NameError"),
            ("1 +", "SyntaxError"),
            ("%no_such_magic", "UsageError"),
            ("await asyncio.sleep(0); 1/0", "ZeroDivisionError"),
            ("class Odd(BaseException): pass\nraise Odd(1)", "Odd"),
            ("raise asyncio.CancelledError", "CancelledError"),
            ("time.sleep(0.02); 1/0", "ZeroDivisionError"),
        ]
    )
    content = {"stop_on_error": random.random() < 0.4, "silent": random.random() < 0.1}
    return Cell(code, ename=ename, content=content)


def sleeping(random: Random, n: int) -> Cell:
    return Cell(f"time.sleep({brief(random)}); print({n})", f"{n}\n")


def computing(random: Random, n: int) -> Cell:
    return Cell(f"sum(i * i for i in range({random.randrange(100_000)})) >= 0", value="True")


def awaiting(random: Random, n: int) -> Cell:
    return Cell(f"await asyncio.sleep({brief(random)}); print({n}); {n}", f"{n}\n", value=str(n))


def awaiting_in_steps(random: Random, n: int) -> Cell:
    count = random.randrange(1, 60)
    code = f"for i in range({count}):\n    await asyncio.sleep(0)\n    print(i)"
    return Cell(code, "".join(f"{i}\n" for i in range(count)))


def running_a_loop(random: Random, n: int) -> Cell:
    return Cell(f"asyncio.run(late_task('{n};', {brief(random)}))", f"{n};")


def leaving_a_task(random: Random, n: int) -> Cell:
    return Cell(f"tasks.append(asyncio.create_task(late_task('«{n}»', {brief(random)}))); print({n})", f"{n}\n")


def leaving_a_timer(random: Random, n: int) -> Cell:
    code = f"asyncio.get_running_loop().call_later({brief(random)}, sys.stdout.write, '«{n}»'); print({n})"
    return Cell(code, f"{n}\n")


def leaving_a_thread(random: Random, n: int) -> Cell:
    return Cell(f"_ = in_thread(late, '«{n}»', {brief(random)}); print({n})", f"{n}\n")


def printed_by_a_thread(random: Random, n: int) -> Cell:
    return Cell(f"in_thread(print, {n}).join()", f"{n}\n")


def run_by_the_system(random: Random, n: int) -> Cell:
    code, stdout = random.choice(
        [
            (f"!echo {n}", f"{n}\r\n"),
            (f"%%bash\necho {n}", f"{n}\n"),
            (f"_ = subprocess.run(['echo', '{n}'])", f"{n}\n"),
            (f"print(subprocess.check_output(['echo', '{n}'], text=True), end='')", f"{n}\n"),
        ]
    )
    return Cell(code, stdout)


def with_expressions(random: Random, n: int) -> Cell:
    return Cell(f"x{n} = {n}", expressions={"good": f"x{n}", "bad": "1/0", "hidden": "print('no')"}, compare=False)


def with_a_payload(random: Random, n: int) -> Cell:
    return Cell(random.choice([f"get_ipython().set_next_input('{n}')", "len?", "%who_ls"]), compare=False)


def with_a_comm(random: Random, n: int) -> Cell:
    code = "import comm; c = comm.create_comm('nobody', {'a': 1}); c.send({'b': 2}, buffers=[b'x' * 70000]); c.close()"
    return Cell(code, types=["comm_open", "comm_msg", "comm_close"])


BLOCKING = [
    "time.sleep(60)",
    "while True: pass",
    "await asyncio.sleep(60)",
    "await asyncio.sleep(0); time.sleep(60)",
    "await asyncio.Event().wait()",
    "threading.Event().wait()",
    "asyncio.run(asyncio.sleep(60))",
    "subprocess.run(['sleep', '60'])",
    "!sleep 60",
    "os.read(os.pipe()[0], 1)",
    "while True: await asyncio.sleep(0)",
    "while True: print(end='', flush=True)",
]


def endless(random: Random, n: int) -> Cell:
    """Only Stop ends it."""
    code = f"print('{PRESS}', flush=True)\n{random.choice(BLOCKING)}"
    return Cell(code, needs_stop=True, content={"stop_on_error": random.random() < 0.4})


def stubborn(random: Random, n: int) -> Cell:
    """It takes one Stop for itself, and needs another."""
    wait = random.choice(["time.sleep(60)", "while True: pass", "threading.Event().wait()"])
    code = f"for _ in range(2):\n  try:\n    print('{PRESS}', flush=True)\n    {wait}\n  except KeyboardInterrupt: pass"
    return Cell(code, needs_stop=True)


def an_answer(random: Random) -> Answer:
    return Answer(
        value=random.choice(["", "yes", "é𝄞", "x" * 5000]),
        delay=brief(random),
        before=random.choice(["", "", "stale", "forged"]),
        stop=random.random() < 0.25,
        late=random.random() < 0.5,
    )


def asking(random: Random, n: int) -> Cell:
    answers = [an_answer(random) for _ in range(random.choice([1, 1, 3]))]
    ask = random.choice(["input", "getpass.getpass"])
    code = f"for i in range({len(answers)}): print({ask}(f'{n} {{i}}? '))"
    if any(answer.stop for answer in answers):
        return Cell(code, answers=answers, needs_stop=True)
    return Cell(code, "".join(answer.value + "\n" for answer in answers), answers=answers)


def asking_the_deaf(random: Random, n: int) -> Cell:
    """input() where the client does not allow it."""
    return Cell("input()", ename="StdinNotImplementedError", content={"allow_stdin": False})


def asking_in_an_await_cell(random: Random, n: int) -> Cell:
    answer = Answer(value=str(n), delay=brief(random))
    return Cell(f"await asyncio.sleep(0); print(input('{n}? '))", f"{n}\n", answers=[answer])


def asking_in_a_thread(random: Random, n: int) -> Cell:
    answer = Answer(value=str(n), delay=brief(random))
    code = f"answers = []\nin_thread(lambda: answers.append(input('«{n}? »'))).join()\nprint(answers)"
    return Cell(code, f"['{n}']\n", answers=[answer])


def leaving_a_thread_that_asks(random: Random, n: int) -> Cell:
    """The cell may end while its thread waits for an answer; or the thread asks when another cell runs."""
    answer = Answer(value="late", delay=random.choice([0.0, 0.001, 0.01, 0.3]))
    return Cell(f"_ = in_thread(ask_and_tell, {n}); time.sleep({brief(random)})", answers=[answer])


def gathering(random: Random, n: int) -> Cell:
    """Stop ends all that it awaits: none of them may print later.

    A group, since Stop may come when tasks are made that nobody awaits yet: those of gather() would go on, as in any
    Python; and so would one that the group has made and not yet noted, which is why they wait for each other.
    """
    code = f"""
ready = asyncio.Event()
async def work():
    await ready.wait()
    while True:
        sys.stdout.write('.')
        await asyncio.sleep(0.002)
async with asyncio.TaskGroup() as group:
    for _ in range(3): group.create_task(work())
    ready.set()
    print('{PRESS}', flush=True)
"""
    return Cell(code, needs_stop=True, compare=False)


def failing_without_end(random: Random, n: int) -> Cell:
    """The text of its exception is code that never ends."""
    code = f"""
class Endless(Exception):
    def __str__(self):
        print('{PRESS}', flush=True)
        while True: pass
raise Endless
"""
    return Cell(code, needs_stop=True)


def shown_without_end(random: Random, n: int) -> Cell:
    """So is the repr of its value."""
    code = f"""
class Endless:
    def __repr__(self):
        print('{PRESS}', flush=True)
        while True: pass
Endless()
"""
    return Cell(code, needs_stop=True)


def shown_at_length(random: Random, n: int) -> Cell:
    """One message larger than what may wait for a slow reader."""
    code = f"display({{'text/plain': '{n}', 'application/x': 'x' * {random.randrange(33 << 20, 36 << 20)}}}, raw=True)"
    return Cell(code, types=["display_data"])


# How often each is drawn.
CELLS: dict[Maker, float] = {
    nothing: 1,
    value: 3,
    printed: 4,
    printed_at_length: 1,
    printed_in_pieces: 1,
    printed_by_c: 2,
    silent: 1,
    shown: 2,
    updated: 1,
    failing: 4,
    sleeping: 3,
    computing: 2,
    awaiting: 3,
    awaiting_in_steps: 2,
    running_a_loop: 1,
    leaving_a_task: 2,
    leaving_a_timer: 2,
    leaving_a_thread: 2,
    printed_by_a_thread: 1,
    run_by_the_system: 0.7,
    with_expressions: 1,
    with_a_payload: 1,
    with_a_comm: 1,
    endless: 3,
    stubborn: 0.7,
    asking: 3,
    asking_the_deaf: 0.5,
    asking_in_an_await_cell: 1,
    asking_in_a_thread: 1,
    leaving_a_thread_that_asks: 1,
    gathering: 1,
    failing_without_end: 0.3,
    shown_without_end: 0.3,
    shown_at_length: 0.3,
}


def make_cell(random: Random, n: int) -> Cell:
    maker = random.choices(list(CELLS), list(CELLS.values()))[0]
    return maker(random, n)
