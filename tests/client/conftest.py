# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: `client` talks to a kernel shared by the tests of a module, `fresh` to one of its own, `launch` starts any
number."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from launch import Kernel
from raw import Client

Launch = Callable[..., Kernel]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path of its own (an ipc path may have 107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="pt-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def passed(request: pytest.FixtureRequest) -> bool:
    report = getattr(request.node, "report_call", None)
    return report is not None and report.passed


@pytest.fixture
def launch(directory: Path, request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Starts kernels; checks that nothing they said went unclaimed, and ends them."""
    kernels: list[Kernel] = []

    def start(**options: Any) -> Kernel:
        home = directory / str(len(kernels))
        home.mkdir()
        kernels.append(Kernel(home, **options))
        return kernels[-1]

    yield start
    try:
        if passed(request):
            for kernel in kernels:
                for client in kernel.clients:
                    client.verify()
    except BaseException:
        request.node.last_words = "\n".join(kernel.report() for kernel in kernels)
        raise
    finally:
        for kernel in kernels:
            kernel.close()


@pytest.fixture
def kernel(launch: Launch) -> Kernel:
    """A kernel of the test's own."""
    return launch()


@pytest.fixture
def fresh(kernel: Kernel) -> Client:
    """A client of a kernel of the test's own."""
    return kernel.client()


class Shared:
    """The kernel of one module, replaced when a test failed or ended it."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None

    def get(self) -> Kernel:
        if self.kernel and self.kernel.dead():
            self.drop()
        if not self.kernel:
            self.kernel = Kernel(Path(tempfile.mkdtemp(prefix="pt-")))
        return self.kernel

    def drop(self) -> None:
        if self.kernel:
            self.kernel.close()
            shutil.rmtree(self.kernel.directory, ignore_errors=True)
        self.kernel = None


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.drop()


@pytest.fixture
def shared_kernel(shared: Shared, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = shared.get()
    kernel.trace.clear()
    good = False
    yield kernel
    try:
        if passed(request):
            for client in kernel.clients:
                client.verify()
            good = True
    finally:
        for client in kernel.clients:
            client.close()
        kernel.clients.clear()
        if not good:
            request.node.last_words = kernel.report()
            shared.drop()


@pytest.fixture
def client(shared_kernel: Kernel) -> Client:
    """A new front end of the module's kernel."""
    return shared_kernel.client()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    setattr(item, f"report_{report.when}", report)
    if report.failed:
        for kernel in Kernel.live:
            report.sections.append(("messages", kernel.report()))
        if report.when == "teardown" and hasattr(item, "last_words"):
            report.sections.append(("messages", item.last_words))
    return report
