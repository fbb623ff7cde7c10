# SPDX-License-Identifier: BSD-3-Clause
"""The pages a newcomer opens, run from top to bottom as nbclient and a person would run them."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from answering_client import CellRun, Question, run_answering
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PAGES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
DEADLINE = 60
ANSI = re.compile(r"\x1b\[[0-9;]*m")

Cells = dict[str, list[NotebookNode]]


def read(page: str) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4)
    return notebook


def run(page: str, kernel_name: str) -> Cells:
    """Run a page in nbclient, going on after errors; cell id → outputs."""
    notebook = read(page)
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(
        notebook,
        kernel_name=kernel_name,
        timeout=DEADLINE,
        startup_timeout=DEADLINE,
        allow_errors=True,
        resources=where,
    ).execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def text(outputs: list[NotebookNode], stream: str = "stdout") -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == stream)


def shown(outputs: list[NotebookNode], mime: str) -> list[Any]:
    """What the outputs hold in this MIME type, in order."""
    return [output.data[mime] for output in outputs if "data" in output and mime in output.data]


def assert_clean(cells: Cells, but: tuple[str, ...] = ()) -> None:
    """No cell ended in an error and none wrote to stderr, apart from those named."""
    errors = {
        ident: [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
        for ident, outputs in cells.items()
    }
    assert {ident: bad for ident, bad in errors.items() if bad and ident not in but} == {}


def assert_png(encoded: str) -> None:
    """A PNG of a size at which one can see something: width and height stand at fixed places in its first chunk."""
    picture = base64.b64decode(encoded)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")
    assert width > 300 and height > 200


# As they are checked in


def test_the_pages_of_the_tour_are_there() -> None:
    assert PAGES == ["asyncio", "data", "input", "processes-and-sockets", "welcome"]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_valid_and_stripped(page: str) -> None:
    notebook = read(page)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "pupitre"
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert cell.source.strip()
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    prose = "\n".join(cell.source for cell in read(page).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", prose)
    assert links
    assert [link for link in links if not (NOTEBOOKS / link).is_file()] == []


# welcome


@pytest.fixture(scope="module")
def welcome(kernel_name: str) -> Cells:
    return run("welcome", kernel_name)


def test_welcome_has_one_error_and_it_is_meant(welcome: Cells) -> None:
    assert_clean(welcome, but=("mistake",))
    (error,) = welcome["mistake"]
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    traceback = ANSI.sub("", "\n".join(error.traceback))
    assert "Cell In[5], line 5" in traceback
    assert "----> 2     return sum(numbers) / len(numbers)" in traceback


def test_welcome_results(welcome: Cells) -> None:
    results = {ident: shown(welcome[ident], "text/plain") for ident in ("first", "define", "use", "corrected")}
    assert results == {
        "first": ["2"],
        "define": ["12.566370614359172"],
        "use": ["[3.1, 12.6, 28.3, 50.3, 78.5]"],
        "corrected": ["5.0"],
    }
    assert [output.execution_count for output in welcome["first"]] == [1]


def test_welcome_text(welcome: Cells) -> None:
    assert text(welcome["hello"]) == "1. Hello, Ada!\n2. Hello, Ada!\n3. Hello, Ada!\n"
    assert text(welcome["countdown"]) == "5 4 3 2 1 done\n"
    assert re.match(r"Python 3\.\d+\.\d+\S*\n/.+\n$", text(welcome["where"]))


def test_welcome_rich_display(welcome: Cells) -> None:
    first, second = welcome["rich-display"]
    assert first.output_type == "display_data" and "about **12.566**" in first.data["text/markdown"]
    assert second.output_type == "execute_result" and r"A = \pi r^2" in second.data["text/latex"]


def test_welcome_slider_is_a_widget(welcome: Cells) -> None:
    (view,) = shown(welcome["slider"], "application/vnd.jupyter.widget-view+json")
    assert view["model_id"]


def test_welcome_magic_and_shell(welcome: Cells) -> None:
    assert "per loop (mean ± std. dev. of 3 runs, 1,000 loops each)" in text(welcome["magic"])
    assert text(welcome["shell"]).splitlines() == ["This line came from the shell."]


# data


@pytest.fixture(scope="module")
def data(kernel_name: str) -> Cells:
    return run("data", kernel_name)


def test_data_is_clean(data: Cells) -> None:
    assert_clean(data)


@pytest.mark.parametrize("cell", ["read", "years", "groups", "law"])
def test_data_tables_are_html(data: Cells, cell: str) -> None:
    (output,) = data[cell]
    assert output.output_type == "execute_result"
    assert "<table" in output.data["text/html"] and output.data["text/plain"]


def test_data_table_holds_the_file(data: Cells) -> None:
    (table,) = shown(data["read"], "text/html")
    names = [line.split(",")[0] for line in (NOTEBOOKS / "data/planets.csv").read_text().splitlines()[1:]]
    assert len(names) == 12
    assert [name for name in names if f"<th>{name}</th>" not in table] == []


@pytest.mark.parametrize("cell", ["plot", "logarithms"])
def test_data_plots_appear_without_asking(data: Cells, cell: str) -> None:
    (output,) = data[cell]
    assert output.output_type == "display_data"
    assert_png(output.data["image/png"])


def test_data_finds_the_law(data: Cells) -> None:
    assert text(data["slope"]) == "slope 1.500, constant 1.000\n"
    assert text(data["predict"]) == "3.63 Earth years\n"


# input


class Player:
    """Answers the questions of input.ipynb; plays its game by halving what is left."""

    def __init__(self) -> None:
        self.low, self.high, self.guess = 1, 100, 50
        self.numbers = iter(["nineteen", "1998"])

    def __call__(self, question: Question) -> str:
        if question.prompt == "What is your name? ":
            return "Grâce"
        if question.prompt == "In which year were you born? ":
            return next(self.numbers)
        if question.password:
            return "geheim123"
        if question.prompt.startswith("Higher!"):
            self.low = self.guess + 1
        elif question.prompt.startswith("Lower!"):
            self.high = self.guess - 1
        self.guess = (self.low + self.high) // 2
        return str(self.guess)


@pytest.fixture(scope="module")
def asked(kernel_name: str) -> dict[str, CellRun]:
    return run_answering(NOTEBOOKS / "input.ipynb", kernel_name, Player())


def test_input_every_cell_ends_well(asked: dict[str, CellRun]) -> None:
    assert {ident: cell.reply["status"] for ident, cell in asked.items()} == dict.fromkeys(asked, "ok")
    assert [output for cell in asked.values() for output in cell.outputs if output.output_type != "stream"] == []


def test_input_uses_the_answer(asked: dict[str, CellRun]) -> None:
    assert asked["name"].questions == [Question("What is your name? ", password=False)]
    assert asked["name"].text == "Nice to meet you, Grâce.\n"


def test_input_asks_again(asked: dict[str, CellRun]) -> None:
    assert len(asked["number"].questions) == 2
    assert asked["number"].text == "'nineteen' is not a whole number.\nYou turn 100 in the year 2098.\n"


def test_input_getpass_hides_the_answer(asked: dict[str, CellRun]) -> None:
    assert asked["secret"].questions == [Question("A password (invent one): ", password=True)]
    assert asked["secret"].text == "It has 9 characters, 3 of them digits.\n"


def test_input_game_is_won_by_halving(asked: dict[str, CellRun]) -> None:
    questions = asked["game"].questions
    assert questions[0].prompt == "I think of a number from 1 to 100. Your guess? "
    assert 1 <= len(questions) <= 7
    assert re.fullmatch(rf"Yes, \d+! You needed {len(questions)} guesses\.\n", asked["game"].text)


def test_input_without_anybody_to_ask_says_so(kernel_name: str) -> None:
    client = NotebookClient(read("input"), kernel_name=kernel_name, timeout=DEADLINE, startup_timeout=DEADLINE)
    with pytest.raises(CellExecutionError, match="StdinNotImplementedError"):
        client.execute()


# asyncio


@pytest.fixture(scope="module")
def coroutines(kernel_name: str) -> Cells:
    return run("asyncio", kernel_name)


def test_asyncio_is_clean(coroutines: Cells) -> None:
    assert_clean(coroutines)


def test_asyncio_await_at_the_top(coroutines: Cells) -> None:
    assert shown(coroutines["await"], "text/plain") == ["'a tenth of a second later'"]


def test_asyncio_waits_together(coroutines: Cells) -> None:
    *lines, duration = text(coroutines["together"]).splitlines()
    assert lines == ["red boils", "green boils", "blue boils"]
    assert 0.6 <= float(duration.removesuffix(" seconds")) < 1.2


def test_asyncio_tasks_go_on_between_cells(coroutines: Cells) -> None:
    assert text(coroutines["running"]) == "True True\n"
    assert text(coroutines["wait-task"]) == "counted to the end\n20 ticks\n"


def test_asyncio_run_works_in_a_cell(coroutines: Cells) -> None:
    assert shown(coroutines["run"], "text/plain") == ["['one boils', 'two boils']"]


def test_asyncio_cancellation(coroutines: Cells) -> None:
    assert text(coroutines["cancel"]) == "tidying up\ncancelled: True\n"
    assert text(coroutines["timeout"]) == "that took too long\n"
    assert text(coroutines["shield"]) == "not waiting any longer; finished: False\nsaved\n"


def test_asyncio_server_lives_between_cells(coroutines: Cells) -> None:
    assert text(coroutines["client"]) == "HELLO\nIS ANYBODY THERE?\n"
    assert text(coroutines["close"]) == "serving: False\n"


# processes-and-sockets


@pytest.fixture(scope="module")
def processes(kernel_name: str) -> Cells:
    return run("processes-and-sockets", kernel_name)


def test_processes_is_clean(processes: Cells) -> None:
    assert_clean(processes)


def test_processes_sockets(processes: Cells) -> None:
    assert text(processes["socketpair"]) == "Is anybody there?\n"
    assert text(processes["http-client"]) == "200 OK\n"
    assert shown(processes["http-client"], "text/html") == ["<h1>Hello, visitor of /garden</h1>"]


def test_processes_threads(processes: Cells) -> None:
    assert sorted(text(processes["threads"]).splitlines()) == ["Ghent is done", "Lyon is done", "Porto is done"]
    assert "'Ghent': 'back after 0.1 s'" in shown(processes["threads"], "text/plain")[0]


def test_processes_subprocess(processes: Cells) -> None:
    assert text(processes["subprocess"]) == "['4', '30', '100']\n"
    assert text(processes["uncaptured"]) == "first line\nsecond line\n"


def test_processes_multiprocessing(processes: Cells) -> None:
    assert text(processes["primes"]) == "4203 primes below 40,000\ncounted in this process: False\n"
    assert text(processes["executor"]) == "[True, False, True]\n"
    assert text(processes["talking"]) == "[(3, 9), (5, 25), (12, 144)] exit code 0\n"


def test_processes_fork_output_of_both_arrives(processes: Cells) -> None:
    said = text(processes["fork"]).splitlines()
    assert sorted(said) == [
        "child:  changed by the child",
        "parent: written before the fork",
        "the child ended with 7",
    ]
    assert said.index("parent: written before the fork") < said.index("the child ended with 7")


def test_processes_fork_and_pipe(processes: Cells) -> None:
    assert re.fullmatch(r"True\nHello \d+, this is \d+\.\n", text(processes["pipe"]))
