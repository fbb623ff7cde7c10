# SPDX-License-Identifier: BSD-3-Clause
"""jupyter_kernel_test's whole suite, with every feature on."""

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import jupyter_kernel_test
import pytest

KERNEL = os.environ.get("TEST_KERNEL", "pupitre")


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A profile of its own; PYTEST_CURRENT_TEST makes some kernels behave otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        yield


class TestKernel(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    kernel_name = KERNEL
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples: ClassVar[list[dict[str, Any]]] = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "%%timei", "matches": {"%%timeit"}},
        {"text": "isinst", "matches": {"isinstance"}},
    ]
    complete_code_samples: ClassVar[list[str]] = [
        "1",
        "print('hello, world')",
        "def f(x):\n  return x*2\n\n\n",
        "%%timeit\na\n\n",
    ]
    incomplete_code_samples: ClassVar[list[str]] = [
        "print('''hello",
        "def f(x):\n  x*2",
        "for i in x:",
        "a = (",
        "%%time\nx\n",
    ]
    invalid_code_samples: ClassVar[list[str]] = ["import = 7q", "raise = 2"]
    code_page_something = "zip?"
    code_generate_error = "raise ValueError"
    code_execute_result: ClassVar[list[dict[str, str]]] = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "'text'", "result": "'text'"},
    ]
    code_display_data: ClassVar[list[dict[str, str]]] = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
        {"code": "from IPython.display import Math, display; display(Math('\\\\frac{1}{2}'))", "mime": "text/latex"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):  # type: ignore[misc]
    kernel_name = KERNEL
    support_iopub_welcome = True
