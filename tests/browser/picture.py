# SPDX-License-Identifier: BSD-3-Clause
"""Make docs/images/jupyterlab.png for the README: a table and a plot in JupyterLab, run by Pupitre.

    .venv/bin/python tests/browser/picture.py [FILE]

Needs Pupitre installed in the environment of the Python that runs this, and Chromium.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from conftest import CHROMIUM, CHROMIUM_OPTIONS
from lab_page import LabPage
from lab_server import LabServer
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/images/jupyterlab.png"

TITLE = """\
# Twelve worlds and a law of nature
How long is a year out there? A table, a plot, and a straight line that Johannes Kepler found in 1618."""

TABLE = """\
import pandas as pd

planets = pd.read_csv("data/planets.csv", index_col="name")
planets["period_years"] = (planets["period_days"] / 365.26).round(2)
planets[["kind", "distance_au", "period_years"]].iloc[[0, 2, 5, 11]]"""

PLOT = """\
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 2.8))
ax.loglog(planets["distance_au"], planets["period_years"], color="lightgray", zorder=0)
for kind, members in planets.groupby("kind"):
    ax.scatter(members["distance_au"], members["period_years"], label=kind)
ax.set(xlabel="distance from the Sun (au)", ylabel="year (Earth years)")
ax.legend();"""


def page_to_show() -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_markdown_cell(TITLE, id="title"),
        nbformat.v4.new_code_cell(TABLE, id="table"),
        nbformat.v4.new_code_cell(PLOT, id="plot"),
        nbformat.v4.new_code_cell("", id="empty"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def photograph(page: Page, server: LabServer, kernel_name: str, picture: Path) -> None:
    (server.notebooks / "data").symlink_to(ROOT / "notebooks/data")
    lab = LabPage(page, server, kernel_name)
    notebook = page_to_show()
    notebook.metadata.kernelspec = {"name": kernel_name, "display_name": lab.label, "language": "python"}
    lab.open_file("kepler", notebook)
    lab.run_all()
    expect(lab.outputs(lab.cells.nth(1)).locator("img")).to_be_visible()
    lab.hide_side_bars()
    lab.wait_until_idle()
    lab.picture(picture)


def main() -> None:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        server = LabServer(Path(directory))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        try:
            context = browser.new_context(viewport={"width": 1180, "height": 1000})
            photograph(context.new_page(), server, os.environ.get("TEST_KERNEL", "pupitre"), picture)
        finally:
            browser.close()
            server.stop()
    print(picture)


if __name__ == "__main__":
    main()
