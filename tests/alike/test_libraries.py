# SPDX-License-Identifier: BSD-3-Clause
"""Libraries that look at where they run: the same cell, with the real package, shows the same in both kernels."""

import re
from textwrap import dedent
from typing import Any

import pytest
from kernels import Pair

# Cells that run one after the other, in a kernel of each kind that the others use, too.
TOGETHER = {
    "click": [
        """
        import click
        click.secho("green", fg="green")
        click.echo(click.style("red", fg="red"), err=True)
        with click.progressbar([1, 2], label="bar") as bar:
            for one in bar: pass
        """,
        """
        @click.command()
        @click.option("--name", default="you")
        def hello(name): click.secho(f"hello {name}", fg="blue")
        hello(["--name", "me"], standalone_mode=False)
        """,
        """
        from click.testing import CliRunner
        result = CliRunner().invoke(hello, ["--name", "it"])
        result.output, result.exit_code
        """,
    ],
    "typer": [
        """
        import typer
        typer.secho("green", fg="green")
        app = typer.Typer(add_completion=False)
        @app.command()
        def greet(name: str, loud: bool = False):
            typer.echo(typer.style(name, fg="red"))
        app(["x", "--loud"], standalone_mode=False)
        """,
        "app(['--help'], prog_name='greet', standalone_mode=False)",
    ],
    "rich": [
        """
        from rich import print as show
        show("[bold red]red[/] and [green]green[/]", {"a": [1, 2]})
        """,
        """
        from rich.console import Console
        from rich.table import Table
        console = Console()
        table = Table("a", "b"); table.add_row("1", "2")
        console.print(table)
        console.is_jupyter, console.is_terminal, console.color_system, console.width
        """,
        "table",
        "Console(stderr=True).print('[red]text[/]')",
        """
        from rich.progress import Progress
        with Progress(auto_refresh=False) as progress:
            progress.advance(progress.add_task("work", total=1))
        """,
    ],
    "loguru": [
        """
        import sys
        from loguru import logger
        logger.remove()
        _ = logger.add(sys.stderr, format="<red>{level}</red> {message}")
        logger.info("told")
        """,
        """
        logger.remove()
        _ = logger.add(sys.stdout, format="<green>{message}</green>")
        logger.warning("warned")
        """,
        """
        try: 1 / 0
        except ZeroDivisionError as error: logger.opt(colors=True).error("<red>caught</red> {}", error)
        """,
    ],
    "tqdm": [
        """
        import warnings
        warnings.simplefilter("ignore")
        from tqdm import tqdm
        for one in tqdm(range(3), bar_format="{n}/{total}", mininterval=0): pass
        """,
        "import tqdm.auto, tqdm.autonotebook; tqdm.auto.tqdm.__mro__[1], tqdm.autonotebook.tqdm.__module__",
    ],
    "jupyter_ui_poll": [
        """
        from jupyter_ui_poll import ui_events, with_ui_events
        with ui_events() as poll:
            for _ in range(2): poll(1)
        [x for x in with_ui_events(range(3), 1)]
        """,
        "'the next cell'",
        """
        async with ui_events() as poll:
            await poll(2)
        """,
        "'and the next'",
    ],
    "line_profiler": [
        "%load_ext line_profiler\ndef slow(): return 1",
        "type(get_ipython().run_line_magic('lprun', '-r -z -f slow slow()'))",
    ],
    "sniffio and anyio": [
        """
        import anyio, sniffio
        async def which():
            await anyio.sleep(0)
            return sniffio.current_async_library()
        await which()
        """,
    ],
    "snakeviz": ["%load_ext snakeviz", "%snakeviz sum([1])"],
    "anywidget": [
        """
        from anywidget.experimental import MimeBundleDescriptor
        class Counter:
            _repr_mimebundle_ = MimeBundleDescriptor(_esm="export default {}", autodetect_observer=False)
            def __init__(self): self.value = 1
            def _get_anywidget_state(self, include): return {"value": self.value}
        counter = Counter()
        counter
        """,
        "counter.value = 2; counter._repr_mimebundle_.send_state({'value'})",
        """
        import anywidget, traitlets
        class W(anywidget.AnyWidget):
            _esm = "x"
            v = traitlets.Int(1).tag(sync=True)
        W()
        """,
    ],
    "ipywidgets": [
        """
        import ipywidgets as w; w.Widget.close_all(); out = w.Output()
        with out: print("kept"); display(1)
        out.outputs
        """,
        "s = w.IntSlider(3); s.comm.kernel is get_ipython().kernel, s.value",
        "@out.capture(clear_output=True)\ndef f(): print('inside')\nf(); out.outputs",
        "w.interactive_output(lambda x: print(x), {'x': s}).outputs",
    ],
    "pandas and matplotlib": [
        "import pandas as pd; pd.DataFrame({'a': [1]})",
        "import matplotlib.pyplot as plt; plt.get_backend(), plt.isinteractive()",
    ],
    "warnings": ["import warnings; warnings.simplefilter('always'); warnings.warn('look')"],
    "argparse": [
        """
        import argparse
        try: argparse.ArgumentParser(prog="p").parse_args(["--no"])
        except SystemExit as end: print(end.code)
        """
    ],
    "terminal": ["import os, shutil, sys; os.environ.get('TERM'), shutil.get_terminal_size(), sys.stdout.isatty()"],
    "traceback": ["import traceback; traceback.print_exception(ValueError('x'))"],
}

# What changes the kernel for whatever comes after has a kernel of each kind to itself.
ALONE = {
    "rich.pretty": ["from rich import pretty; pretty.install()", "{'a': [1, 2, 3]}", "'text'", "print({'a': 1})"],
    "rich.traceback": ["from rich import traceback; _ = traceback.install(show_locals=False)", "'text'"],
    "nest_asyncio": [
        """
        import asyncio, nest_asyncio
        nest_asyncio.apply()
        async def inner(): return await asyncio.sleep(0, 5)
        asyncio.get_event_loop().run_until_complete(inner()), asyncio.run(inner())
        """,
        "await asyncio.sleep(0), asyncio.run(inner())",
        "'the next cell'",
    ],
    "logging": [
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", force=True)
        logging.warning("logged")
        """,
    ],
}


# What is a name of the moment: processes, cells' files, comms, addresses, ports, times.
MOMENTS = {
    r"[0-9a-f]{8}-[0-9a-f]{24}_\d+_\d+": "MESSAGE",
    r"(/[\w./-]*/)?ipykernel_\d+(/\d+\.py)?": "CELL",
    r"0x[0-9a-f]{6,}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "NAME",
    r"(localhost|port\W+)\D{0,3}\d{4,5}|(%2F|/)tmp\w{8}": "PLACE",
    r" *\b\d+\.\d+(e-\d+)?|\d+(it/s|s/it)": " NUMBER",
}


def plain(shown: Any) -> Any:
    """Without what is of the moment."""
    if isinstance(shown, str):
        for pattern, name in MOMENTS.items():
            shown = re.sub(pattern, name, shown)
        return shown
    if isinstance(shown, dict):
        return {name: plain(value) for name, value in shown.items()}
    if isinstance(shown, (list, tuple)):
        return [plain(value) for value in shown]
    return shown


@pytest.mark.parametrize("library", TOGETHER)
def test_shows_the_same(shared: Pair, library: str) -> None:
    compare(shared, TOGETHER[library])


@pytest.mark.parametrize("library", ALONE)
def test_shows_the_same_alone(pair: Pair, library: str) -> None:
    compare(pair, ALONE[library])


def compare(pair: Pair, cells: list[str]) -> None:
    for cell in cells:
        theirs, ours = pair.run(dedent(cell).strip())
        assert plain(ours.shown()) == plain(theirs.shown()), cell
        assert plain(ours.comms()) == plain(theirs.comms()), cell


PDB = {
    "pdb": "import pdb\ndef f(x):\n    pdb.set_trace()\n    return x + 1\nf(1)",
    "ipython's": "from IPython.core.debugger import set_trace\ndef h(x):\n    set_trace()\n    return x + 1\nh(3)",
    "post mortem": "import pdb\ntry: 1 / 0\nexcept ZeroDivisionError as e: pdb.post_mortem(e.__traceback__)",
    "click.prompt": "import click; click.prompt('name', default='me')",
    "click.confirm": "import click; click.confirm('sure?')",
    "rich.prompt": "from rich.prompt import Prompt; Prompt.ask('who')",
    "typer.prompt": "import typer; typer.prompt('who', type=int)",
    "getpass": "import getpass; getpass.getpass('secret: ')",
}
ANSWERS = {
    "click.confirm": ["perhaps", "y"],
    "typer.prompt": ["x", "7"],
    "post mortem": ["p 1 + 1", "q"],
}


@pytest.mark.parametrize("name", PDB)
def test_asks_the_same(shared: Pair, name: str) -> None:
    theirs, ours = (
        kernel.run(PDB[name], answers=ANSWERS.get(name, ["p x", "c"])) for kernel in (shared.theirs, shared.ours)
    )
    assert ours.questions == theirs.questions
    assert plain(ours.shown()) == plain(theirs.shown())
