# SPDX-License-Identifier: BSD-3-Clause
"""The worker starts as `python` would, takes frames, answers them and ends."""

import json

from front import BYE, DONE, EXIT, HELLO, PUBLISH, REPLY, Front


def test_start_hello_request_reply_exit() -> None:
    with Front() as front:
        hello = front.start()
        assert hello.content["argv"] == ["x", "-f", "y"]
        assert front.run("result = 1 + 1") == {"status": "ok", "result": "2", "mended": []}
        assert front.exit() == 7


def test_interpreter_is_the_environments(front: Front) -> None:
    import sys

    assert front.value("sys.executable") == repr(sys.executable)
    assert front.value("sys.prefix") == repr(sys.prefix)
    assert front.value("sys.argv") == "['x', '-f', 'y']"
    assert front.value("'' in sys.path or os.getcwd() in sys.path") == "False"
    assert front.value("'PUPITRE_PYTHON' in os.environ") == "False"
    assert front.value("sys.stdin.read()") == "''"
    assert front.value("signal.getsignal(signal.SIGINT) is signal.default_int_handler") == "True"
