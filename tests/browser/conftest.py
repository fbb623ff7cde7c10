# SPDX-License-Identifier: BSD-3-Clause
"""One JupyterLab, one Chromium and one tab for all tests, with a notebook and a kernel of its own for each.

The tab is photographed when a test fails, and the next test gets a new one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage
from lab_server import LabServer
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

FAILURES = Path(__file__).with_name("failures")
DEADLINE = 30_000
"""Milliseconds for anything a person would wait for."""

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_LAB: pytest.StashKey[LabPage] = pytest.StashKey()


@pytest.fixture(scope="session")
def kernel_name() -> str:
    """The kernelspec under test; TEST_KERNEL=python3 shows the same in ipykernel."""
    return os.environ.get("TEST_KERNEL", "pupitre")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    server = LabServer(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=DEADLINE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(DEADLINE)
    yield context
    context.close()


@pytest.fixture(scope="session")
def tabs() -> list[LabPage]:
    """The tabs that were opened, the newest last."""
    return []


@pytest.fixture
def lab(
    request: pytest.FixtureRequest, context: BrowserContext, server: LabServer, kernel_name: str, tabs: list[LabPage]
) -> LabPage:
    """The tab, as the test before left it, or a blank one."""
    if not tabs or tabs[-1].page.is_closed():
        tabs.append(LabPage(context.new_page(), server, kernel_name))
    request.node.stash[_LAB] = tabs[-1]
    return tabs[-1]


@pytest.fixture
def notebook(request: pytest.FixtureRequest, lab: LabPage) -> LabPage:
    """The tab with an empty notebook in front, its kernel idle."""
    lab.open_notebook(re.sub(r"\W+", "-", request.node.name))
    return lab


def pytest_sessionstart() -> None:
    """What is in FAILURES after a run is of that run."""
    for picture in FAILURES.glob("*.png"):
        picture.unlink()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Photograph the tab of a test that failed, and close it."""
    report: pytest.TestReport = yield
    lab: Any = item.stash.get(_LAB, None)
    if report.failed and lab and not lab.page.is_closed():
        path = FAILURES / f"{re.sub(r'[^A-Za-z0-9]+', '-', item.name)}-{report.when}.png"
        lab.picture(path)
        lab.page.close()
        report.sections.append(("picture", str(path)))
    return report
