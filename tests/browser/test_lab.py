# SPDX-License-Identifier: BSD-3-Clause
"""JupyterLab in Chromium: what a student sees and presses."""

from __future__ import annotations

import re

import pytest
from lab_page import LabPage
from lab_server import LabServer
from playwright.sync_api import Locator, expect


def test_kernel_is_chosen_in_the_launcher(lab: LabPage) -> None:
    lab.open_launcher()
    lab.choose_card()
    expect(lab.kernel_button).to_contain_text(lab.label)
    cell = lab.run("1 + 1")
    expect(lab.result(cell)).to_have_text("2")
    expect(lab.prompt(cell)).to_have_text("[1]:")


def test_printed_text_and_result(notebook: LabPage) -> None:
    cell = notebook.run("print('first'); print('second')\n6 * 7")
    expect(notebook.outputs(cell)).to_have_text([re.compile(r"first\s+second"), "42"])


def test_error_shows_its_traceback(notebook: LabPage) -> None:
    cell = notebook.run("def half(x):\n    return x / 0\n\nhalf(3)")
    error = notebook.outputs(cell)
    expect(error).to_have_count(1)
    expect(error).to_contain_text("Cell In[1], line 4")
    expect(error).to_contain_text("ZeroDivisionError: division by zero")
    expect(notebook.result(notebook.run("'still here'"))).to_have_text("'still here'")


def test_plot_is_visible(notebook: LabPage) -> None:
    cell = notebook.run("import matplotlib.pyplot as plt\nplt.plot([1, 4, 9]);")
    picture = notebook.outputs(cell).locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300


def test_table_is_visible(notebook: LabPage) -> None:
    cell = notebook.run("import pandas as pd\npd.DataFrame({'city': ['Lyon', 'Porto'], 'hills': [2, 7]})")
    table = notebook.result(cell).locator("table.dataframe")
    expect(table).to_be_visible()
    expect(table.locator("tbody tr")).to_have_text([re.compile(r"0\s*Lyon\s*2"), re.compile(r"1\s*Porto\s*7")])


def test_input_is_answered_in_the_page(notebook: LabPage) -> None:
    cell = notebook.start("name = input('Who are you? ')\nprint(f'Hello, {name}!')")
    expect(cell.locator(".jp-Stdin-prompt")).to_have_text(re.compile("Who are you?"))
    notebook.question(cell).fill("Ada")
    notebook.question(cell).press("Enter")
    expect(notebook.outputs(cell).last).to_have_text(re.compile("Hello, Ada!"))
    expect(notebook.prompt(cell)).to_have_text("[1]:")


WIDGET = """\
import ipywidgets as widgets

slider = widgets.IntSlider(value=3, min=0, max=10, description="Radius")
echo = widgets.Label("nothing yet")
slider.observe(lambda change: setattr(echo, "value", f"Python saw {change.new}"), names="value")
widgets.VBox([slider, echo])
"""


@pytest.fixture
def slider(notebook: LabPage) -> Locator:
    """A cell with a slider, and under it a label that repeats what Python saw."""
    cell = notebook.run(WIDGET)
    expect(cell.locator(".noUi-handle")).to_be_visible()
    return cell


def test_widget_moved_with_the_keyboard(notebook: LabPage, slider: Locator) -> None:
    slider.locator(".noUi-handle").press("ArrowRight")
    expect(slider.locator(".widget-label", has_text="Python saw 4")).to_be_visible()
    expect(notebook.result(notebook.run("slider.value"))).to_have_text("4")


def test_widget_moved_with_the_mouse(notebook: LabPage, slider: Locator) -> None:
    slider.locator(".noUi-handle").drag_to(slider.locator(".noUi-base"), target_position={"x": 1, "y": 2})
    expect(slider.locator(".widget-label", has_text="Python saw 0")).to_be_visible()
    expect(notebook.result(notebook.run("slider.value"))).to_have_text("0")


def test_widget_moved_by_python(notebook: LabPage, slider: Locator) -> None:
    notebook.run("slider.value = 8")
    expect(slider.locator(".noUi-handle")).to_have_attribute("aria-valuenow", "8.0")
    expect(slider.locator(".widget-label", has_text="Python saw 8")).to_be_visible()


def test_interact_answers_while_the_slider_moves(notebook: LabPage) -> None:
    cell = notebook.run("import ipywidgets\nipywidgets.interact(lambda x: print('square', x * x), x=(0, 9));")
    expect(cell.locator(".jp-OutputArea-output", has_text="square 16").last).to_be_visible()
    cell.locator(".noUi-handle").press("ArrowRight")
    expect(cell.locator(".jp-OutputArea-output", has_text="square 25").last).to_be_visible()


def test_interrupt_button_ends_a_sleep(notebook: LabPage) -> None:
    cell = notebook.start("import time\nprint('asleep')\ntime.sleep(600)")
    expect(notebook.outputs(cell)).to_have_text(re.compile("asleep"))
    expect(notebook.prompt(cell)).to_have_text("[*]:")
    notebook.press_interrupt()
    expect(notebook.outputs(cell).last).to_contain_text("KeyboardInterrupt")
    expect(notebook.prompt(cell)).to_have_text("[1]:")
    expect(notebook.result(notebook.run("'awake'"))).to_have_text("'awake'")


def test_restart_button_forgets_the_names(notebook: LabPage) -> None:
    notebook.run("answer = 42")
    notebook.press_restart()
    cell = notebook.run("answer")
    expect(notebook.outputs(cell)).to_contain_text("NameError")
    expect(notebook.prompt(cell)).to_have_text("[1]:")


def test_a_history_that_cannot_be_written_is_told_below_the_first_cell(lab: LabPage, server: LabServer) -> None:
    aside = server.history.with_name("aside")
    server.history.parent.mkdir(exist_ok=True)
    if server.history.exists():
        server.history.rename(aside)
    server.history.mkdir()
    try:
        lab.open_notebook("a-disk-that-fails")
        cell = lab.run("'it runs'")
        expect(lab.outputs(cell).last).to_contain_text("keeps this session's history in memory only: ")
        expect(lab.result(cell)).to_have_text("'it runs'")
    finally:
        server.history.rmdir()
        if aside.exists():
            aside.rename(server.history)


DEATHS = {
    "segfault": ("import ctypes\nctypes.string_at(0)", "segmentation fault|SIGSEGV"),
    "exit": ("import os\nos._exit(3)", r"(exit|status|code)\D*\b3\b"),
}


@pytest.mark.parametrize("how", DEATHS)
def test_dying_kernel_leaves_a_notice_in_its_cell(notebook: LabPage, how: str) -> None:
    code, notice = DEATHS[how]
    notebook.run("before = 1")
    cell = notebook.start(code)
    said = notebook.outputs(cell).last
    expect(said).to_contain_text(re.compile(notice, re.IGNORECASE))
    expect(said).to_contain_text("[2]")
    expect(notebook.dialog).to_contain_text("restart")
    notebook.accept_dialog()
    notebook.wait_until_idle()
    expect(notebook.outputs(notebook.run("before"))).to_contain_text("NameError")
