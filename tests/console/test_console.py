# SPDX-License-Identifier: BSD-3-Clause
"""`jupyter console` with the kernel: what a person types, and what the terminal then says."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable

import pytest
from terminal import ARROW_UP, CTRL_C, CTRL_D, DEADLINE, ENTER, TAB, Terminal


def test_banner_names_python_and_ipython(kernel_name: str, console: Terminal) -> None:
    assert re.search(r"^Jupyter console \d", console.said, re.MULTILINE)
    assert re.search(r"^Python 3\.\d+\.\d+", console.said, re.MULTILINE)
    assert re.search(r"^IPython \d+\.\d+", console.said, re.MULTILINE)


def test_result_has_its_number(console: Terminal) -> None:
    assert "Out[1]: 2\n" in console.run(1, "1 + 1")
    assert "Out[2]: 20\n" in console.run(2, "_ * 10")


def test_printed_text_and_result_in_order(console: Terminal) -> None:
    said = console.run(1, "for word in ('one', 'two'): print(word.upper())")
    assert said.index("ONE\n") < said.index("TWO\n")
    assert "Out[" not in said


def test_error_shows_the_line(console: Terminal) -> None:
    said = console.run(1, "1 / 0")
    assert re.search(r"Cell In\[1\], line 1\n-+> 1 1 / 0", said)
    assert "ZeroDivisionError: division by zero\n" in said
    assert "Out[2]: 'still here'\n" in console.run(2, "'still ' + 'here'")


def test_several_lines_make_one_cell(console: Terminal) -> None:
    console.press("def double(number):" + ENTER)
    console.wait_for(r"^   \.\.\.: ")
    console.press("return 2 * number" + ENTER)
    console.wait_for(r"^   \.\.\.: ")
    console.press(ENTER)
    console.wait_for_prompt(2)
    assert "Out[2]: 42\n" in console.run(2, "double(21)")


def test_tab_completes_a_name_of_the_user(console: Terminal) -> None:
    console.run(1, "measured_in_the_garden = 42")
    console.press("measured_in")
    console.wait_for("measured_in")
    console.press(TAB)
    console.wait_for("_the_garden")
    assert "Out[2]: 42\n" in console.run(2, "")


def test_input_is_answered(console: Terminal) -> None:
    console.press("name = input('Who are you? ')" + ENTER)
    console.wait_for(r"^Who are you\? $")
    console.press("Ada" + ENTER)
    console.wait_for_prompt(2)
    assert "Out[2]: 'ADA'\n" in console.run(2, "name.upper()")


def test_getpass_does_not_echo(console: Terminal) -> None:
    console.press("import getpass; secret = getpass.getpass('Key? ')" + ENTER)
    console.wait_for(r"^Key\? $")
    console.press("swordfish" + ENTER)
    assert "swordfish" not in console.wait_for_prompt(2)
    assert "Out[2]: 9\n" in console.run(2, "len(secret)")


def test_ctrl_c_ends_a_sleep(console: Terminal) -> None:
    console.press("import time; print('asl' + 'eep'); time.sleep(600)" + ENTER)
    console.wait_for("^asleep")
    console.press(CTRL_C)
    assert "KeyboardInterrupt" in console.wait_for_prompt(2)
    assert "Out[2]: 'awake'\n" in console.run(2, "'awa' + 'ke'")


@pytest.mark.parametrize("farewell", ["exit" + ENTER, CTRL_D], ids=["exit", "ctrl-d"])
def test_leaving_ends_console_and_kernel(console: Terminal, farewell: str) -> None:
    said = console.run(1, "import os; os.getpid()")
    found = re.search(r"Out\[1\]: (\d+)", said)
    assert found, said
    kernel = os.pidfd_open(int(found[1]))
    try:
        console.press(farewell)
        assert console.wait_for_end() == 0
        assert "Pupitre" not in console.said, "the kernel complained on its way out"
        assert select.select([kernel], [], [], DEADLINE)[0] == [kernel], "the kernel outlived its console"
    finally:
        os.close(kernel)


def test_arrow_up_brings_back_what_was_typed_yesterday(open_console: Callable[[], Terminal]) -> None:
    yesterday = open_console()
    yesterday.run(1, "'typed ' + 'yesterday'")
    yesterday.press(CTRL_D)
    yesterday.wait_for_end()
    today = open_console()
    today.press(ARROW_UP)
    today.wait_for("'typed ' \\+ 'yesterday'")
    assert "Out[1]: 'typed yesterday'\n" in today.run(1, "")
