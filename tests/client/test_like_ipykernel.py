# SPDX-License-Identifier: BSD-3-Clause
"""The same cells in ipykernel and here, message by message: what published notebooks and libraries rely on.

A story is a list of cells that run one after the other in both kernels. Contents are compared but for what must differ
(addresses, process ids, random ids, the files of the kernels themselves).
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from launch import Kernel
from raw import Client, block

Launch = Callable[..., Kernel]

IPYKERNEL = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
MASKS = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"0x[0-9a-f]{6,}", "0x…"),
    (r"/[^\s'\"]*/ipykernel_\d+", "ipykernel_…"),
    (r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b", "…"),
)

LEFT_OUT = ("engine_info", "execution_count")

STORIES = {
    "a handler of exceptions that shows them": """
        def show(self, kind, error, traceback, tb_offset=None): print('handled', kind.__name__)
        get_ipython().set_custom_exc((ZeroDivisionError,), show)
        # ---
        1/0
        # ---
        import asyncio
        await asyncio.sleep(0); 1/0
        # ---
        {}['other errors are shown as ever']
        # ---
        get_ipython().set_custom_exc((), None)
    """,
    "a handler of exceptions that says nothing": """
        get_ipython().set_custom_exc((ZeroDivisionError,), lambda self, kind, error, traceback, tb_offset=None: None)
        # ---
        1/0
        # ---
        get_ipython().set_custom_exc((), None)
    """,
    "a handler of exceptions that runs the cell again": """
        def define(self, kind, error, traceback, tb_offset=None):
            self.run_cell(f"{error.name} = 'made'", False)
            self.run_cell(self.user_ns['In'][-1], False)
        get_ipython().set_custom_exc((NameError,), define)
        # ---
        print('before'); unknown * 2
        # ---
        unknown * 3;
        # ---
        get_ipython().set_custom_exc((), None)
    """,
    "a handler of exceptions that fails": """
        def fail(self, kind, error, traceback, tb_offset=None): raise KeyError('of the handler')
        get_ipython().set_custom_exc((ZeroDivisionError,), fail)
        # ---
        1/0
        # ---
        1/0
    """,
    "a library that shows tracebacks itself": """
        shell = get_ipython()
        shell._showtraceback = lambda kind, error, lines: print('a picture of', kind.__name__)
        # ---
        1/0
        # ---
        1 +
        # ---
        del shell._showtraceback
        # ---
        1/0
    """,
    "semicolons": """
        from IPython.core.magic import register_cell_magic, register_line_magic
        @register_cell_magic
        def whole(line, cell): return cell
        @register_line_magic
        def one(line): return line
        # ---
        %%whole
        select 1;
        # ---
        %one x;
        # ---
        1;
        # ---
        1 # a comment;
        # ---
        '%s;'
        # ---
        1; # a comment
        # ---
        x = %one y;
        x
        # ---
        len;
        # ---
        get_ipython().run_cell('5;', store_history=False);
        # ---
        get_ipython().run_cell('6;', store_history=True)
    """,
    "frozen modules in tracebacks": """
        import os
        os.environ['NO_SUCH_VARIABLE']
        # ---
        os.makedirs('/proc/no/such/folder')
        # ---
        import codecs
        codecs.open('/no/such/file')
        # ---
        try:
            os.environ['NO_SUCH_VARIABLE']
        except KeyError:
            os.makedirs('/proc/no/such/folder')
        # ---
        from collections.abc import MutableSequence
        class Short(MutableSequence):
            def __getitem__(self, index): raise IndexError(index)
            __setitem__ = __delitem__ = insert = None
            def __len__(self): return 1
        Short().pop()
        # ---
        import no_such_module
    """,
    "dates and dataclasses in displays": """
        from datetime import *
        from dataclasses import dataclass
        from zoneinfo import ZoneInfo
        @dataclass
        class Point: x: int
        moments = [datetime(2020, 1, 1), datetime(2020, 1, 1, 2, 3, 4, 5, timezone.utc), date(2020, 1, 2), time(1, 2)]
        moments += [datetime(2020, 7, 1, tzinfo=ZoneInfo('America/New_York'))]
        display({'application/json': {'moments': moments, 'point': Point(1)}}, raw=True)
    """,
    "magics": """
        %edit /no/such/file.py
        # ---
        %clear
        # ---
        %autosave 60
    """,
    "exception groups": """
        try:
            raise ExceptionGroup('several', [ValueError(1)])
        except* ValueError:
            print('one of them')
    """,
}


STORIES_OF_NEW_KERNELS = {
    "%notebook": """
        import json, sys
        # ---
        print('one'); print('two')
        # ---
        print('before'); 'result'
        # ---
        print('mistake', file=sys.stderr)
        # ---
        1/0
        # ---
        None
        # ---
        %notebook story.ipynb
        # ---
        outputs = [cell['outputs'] for cell in json.load(open('story.ipynb'))['cells']]
        for output in sum(outputs, []): output.pop('traceback', None)
        outputs
    """,
    "%precision before anything was shown": """
        import numpy as np
        %precision 4
        # ---
        np.float64(1/3)
        # ---
        [np.float64(1/3), 1/3]
        # ---
        %precision
        # ---
        np.float64(1/3)
    """,
    "%precision when floats were shown before numpy": """
        0.5
        # ---
        import numpy as np
        %precision 4
        np.float64(1/3)
    """,
}


def mask(text: str) -> str:
    for pattern, instead in MASKS:
        text = re.sub(pattern, instead, text)
    return text


def tell(client: Client, cell: str) -> str:
    """All that a cell brought, one message a paragraph.

    Text of both streams between two other messages is put together: ipykernel's comes in any order.
    """
    result = client.run(cell, 60, stop_on_error=False)
    told: list[str] = []
    text = {"stdout": "", "stderr": ""}
    for message in [*result.messages, result.reply]:
        if message.type == "stream":
            text[message.content["name"]] += message.content["text"]
            continue
        told += [f"{name}: {mask(text[name])}" for name in text if text[name]]
        text = {"stdout": "", "stderr": ""}
        content = {name: value for name, value in message.content.items() if name not in LEFT_OUT}
        told.append(f"{message.type}: {mask(json.dumps(content, sort_keys=True))}")
    return "\n".join(told)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Client, Client]]:
    """Clients of a kernel of ours and of ipykernel, for all stories that do not need new ones."""
    with TemporaryDirectory(prefix="pt-") as ours, TemporaryDirectory(prefix="pt-") as theirs:
        kernels = Kernel(Path(ours)), Kernel(Path(theirs), other=IPYKERNEL)
        yield kernels[0].client(), kernels[1].client()
        for kernel in kernels:
            kernel.close()


@pytest.mark.parametrize("story", STORIES)
def test_like_ipykernel(pair: tuple[Client, Client], story: str) -> None:
    compare(pair, STORIES[story])


@pytest.mark.parametrize("story", STORIES_OF_NEW_KERNELS)
def test_like_ipykernel_from_the_start(launch: Launch, story: str) -> None:
    compare((launch().client(), launch(other=IPYKERNEL).client()), STORIES_OF_NEW_KERNELS[story])


LOGS = """
    from traitlets.config import Application
    from traitlets.log import get_logger
    Application.instance().log.warning('of the application')
    get_ipython().log.warning('of the shell')
    get_ipython().kernel.log.warning('of the kernel')
    get_logger().error('of traitlets,\\nwhich widgets use')
"""


def test_what_libraries_log_is_in_the_log_of_the_server(launch: Launch) -> None:
    told = []
    for kernel in (launch(), launch(other=IPYKERNEL)):
        result = kernel.client().ok(block(LOGS))
        assert result.stdout == result.stderr == ""
        kernel.close()
        told.append(re.findall(r"^\[IPKernelApp\] \w+ \| of .*|^which .*", kernel.output(), re.MULTILINE))
    assert told[0] == told[1] and len(told[0]) == 5, told


def compare(clients: tuple[Client, Client], story: str) -> None:
    for cell in re.split(r"(?m)^# ---\n", block(story)):
        ours, theirs = [tell(client, cell) for client in clients]
        assert ours == theirs, cell
