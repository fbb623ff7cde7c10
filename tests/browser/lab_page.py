# SPDX-License-Identifier: BSD-3-Clause
"""What a person does in JupyterLab, as verbs: open a notebook, run a cell, press a button, read what is shown.

Every wait is Playwright's own, with the deadline set in conftest.py. Where JupyterLab's markup must be known, it is
known here and in no test.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from lab_server import LabServer
from playwright.sync_api import Locator, Page, expect

LABELS = {"pupitre": "Python 3 (Pupitre)", "python3": "Python 3 (ipykernel)"}
"""Kernelspec → what its launcher card says."""


OPEN = """async path => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute("docmanager:open", { path });
    await panel.context.ready;
    await panel.sessionContext.ready;
}"""
"""Opens a notebook as a double click in the list of files does, and ends when its kernel is connected."""


class LabPage:
    """One browser tab. Its notebook is the one in front, whose last cell is empty and ready to be typed into."""

    def __init__(self, page: Page, server: LabServer, kernel_name: str) -> None:
        self.page = page
        self.kernel_name = kernel_name
        self.label = LABELS.get(kernel_name, kernel_name)
        self._server = server
        self._notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def open_launcher(self) -> None:
        self.page.goto(self._server.url)
        self.page.wait_for_function("() => window.jupyterapp")

    def choose_card(self) -> None:
        """Click the kernel's card among the launcher's notebooks, and wait for the new notebook's kernel."""
        self.page.locator(f'.jp-LauncherCard[data-category="Notebook"][title="{self.label}"]').click()
        self.wait_until_idle()

    def open_notebook(self, name: str) -> None:
        """Make an empty notebook for this kernel, and open it in front of all others."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", id="first")])
        notebook.metadata.kernelspec = {"name": self.kernel_name, "display_name": self.label, "language": "python"}
        self.open_file(name, notebook)

    def open_file(self, name: str, notebook: nbformat.NotebookNode) -> None:
        nbformat.write(notebook, self._server.notebooks / f"{name}.ipynb")
        if self.page.url == "about:blank":
            self.open_launcher()
        self.page.evaluate(OPEN, f"{name}.ipynb")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait for the status line at the foot of the page: the toolbar's circle says idle before there is a kernel."""
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text(f"{self.label} | Idle")

    # Cells

    @property
    def cells(self) -> Locator:
        return self._notebook.locator(".jp-Notebook .jp-CodeCell")

    def start(self, code: str) -> Locator:
        """Type `code` into the last cell and run it with Shift+Enter. Return the cell, which may still be running."""
        number = self.cells.count()
        cell = self.cells.nth(number - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        expect(self.cells).to_have_count(number + 1)
        return cell

    def run(self, code: str) -> Locator:
        """Run `code` and wait until its cell has a number."""
        cell = self.start(code)
        expect(self.prompt(cell)).to_have_text(re.compile(r"^\[\d+\]:$"))
        return cell

    def run_all(self) -> None:
        """Run every cell from the toolbar's menu entry, and wait until the last that holds code has a number."""
        self.page.locator(".lm-MenuBar").get_by_text("Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        expect(self._notebook.locator(".jp-InputPrompt", has_text="[*]:")).to_have_count(0)

    @staticmethod
    def prompt(cell: Locator) -> Locator:
        """`[*]:` while the cell runs, then its number."""
        return cell.locator(".jp-InputPrompt")

    @staticmethod
    def outputs(cell: Locator) -> Locator:
        return cell.locator(".jp-OutputArea-output")

    @staticmethod
    def result(cell: Locator) -> Locator:
        """The output that stands behind `[n]:` on the left."""
        return cell.locator(".jp-OutputArea-executeResult .jp-OutputArea-output")

    @staticmethod
    def question(cell: Locator) -> Locator:
        """The field in which `input()` waits."""
        return cell.locator("input.jp-Stdin-input")

    # Around the cells

    @property
    def kernel_button(self) -> Locator:
        """The kernel's name at the right end of the toolbar."""
        return self._notebook.locator('[data-jp-item-name="kernelName"]')

    @property
    def dialog(self) -> Locator:
        return self.page.locator(".jp-Dialog")

    def press_interrupt(self) -> None:
        self._notebook.locator('.jp-Toolbar [data-jp-item-name="interrupt"] jp-button').click()

    def press_restart(self) -> None:
        """Press the button and say yes to the question whether one means it."""
        self._notebook.locator('.jp-Toolbar [data-jp-item-name="restart"] jp-button').click()
        self.accept_dialog()
        self.wait_until_idle()

    def accept_dialog(self) -> None:
        self.dialog.locator("button.jp-mod-accept").click()
        expect(self.dialog).to_have_count(0)

    def hide_side_bars(self) -> None:
        """Leave the page to the notebook."""
        self.page.keyboard.press("Control+b")
        expect(self.page.locator("#jp-left-stack")).to_be_hidden()

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
