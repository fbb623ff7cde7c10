# SPDX-License-Identifier: BSD-3-Clause
"""What user code destroys is mended, or kept out of its reach."""

import pytest
from front import Front


@pytest.mark.parametrize(
    ("code", "mended"),
    [
        ("import builtins; builtins.len = None", ["builtins.len"]),
        ("import builtins; del builtins.print, builtins.__import__", ["builtins.__import__", "builtins.print"]),
        ("import builtins; builtins.TypeError = lambda *_: 7", ["builtins.TypeError"]),
        ("import builtins; builtins.__dict__.clear()", None),
        ("sys.modules.clear()", ["sys.modules"]),
        ("sys.modules['json'] = None", ["sys.modules"]),
        ("sys.modules = {}", ["sys.modules"]),
        ("del sys.modules", ["sys.modules"]),
        ("sys.stdout = None", ["sys.stdout"]),
        ("del sys.stderr", ["sys.stderr"]),
        ("sys.setrecursionlimit(30)", ["sys.recursionlimit"]),
        ("sys.meta_path.clear()", ["sys.meta_path"]),
        ("sys.path = None", ["sys.path"]),
        ("del sys.path_hooks[:]", ["sys.path_hooks"]),
    ],
)
def test_mended_after_the_cell(front: Front, code: str, mended: list[str] | None) -> None:
    content = front.run(code)
    assert content["status"] == "ok"
    if mended is None:
        assert "builtins.len" in content["mended"]
    else:
        assert sorted(content["mended"]) == mended
    content = front.run("import json, colorsys; print('hello'); print('there', file=sys.stderr); result = len('abc')")
    assert content == {"status": "ok", "result": "3", "mended": []}
    assert front.printed(front.serial) == "hello\n"
    assert front.printed(front.serial, 2) == "there\n"


def test_a_changed_builtin_that_can_be_called_stays(front: Front) -> None:
    assert front.run("import builtins; builtins.answer = 42; builtins.abs = lambda x: 7")["mended"] == []
    assert front.value("abs(-1), answer") == "(7, 42)"
    assert front.value("_pupitre.repair(True), abs(-1)") == "(['builtins.abs'], 1)"


def test_changed_builtins_are_listed(front: Front) -> None:
    assert front.value("_pupitre.changed_builtins()") == "{}"
    front.run("import builtins; builtins.answer = 42; builtins.abs = max; builtins.bin = min")
    assert front.value("sorted(_pupitre.changed_builtins().items())") == str([("abs", max), ("bin", min)])
    front.run("del builtins.bin; _pupitre.repair(True)")
    assert front.value("_pupitre.changed_builtins()") == "{}"


def test_what_is_no_module_stays_until_everything_is_repaired(front: Front) -> None:
    assert front.run("sys.modules['json'] = 'mine'; import json; result = json")["mended"] == []
    assert front.value("sys.modules['json']") == "'mine'"
    assert front.value("_pupitre.repair(True), sys.modules['json'].__name__") == "(['sys.modules'], 'json')"


def test_a_changed_builtin_that_breaks_our_code_is_put_back(front: Front) -> None:
    front.run("import builtins; builtins.len = lambda x: 7")
    assert front.run("pass")["ename"] == "failed"  # json needs len
    assert front.value("len('abc')") == "3"


def test_the_net_puts_every_builtin_back(front: Front) -> None:
    front.run("import builtins; builtins.isinstance = lambda *a: 1 / 0")
    front.reply(front.ask("raise ValueError", "raise"))
    assert front.value("isinstance(1, int)") == "True"


@pytest.mark.parametrize(
    "code",
    [
        "for fd in range(3, 256):\n  try: os.close(fd)\n  except OSError: pass",
        "os.closerange(3, 4000)",
        "for fd in range(3, 256):\n  try: os.dup2(0, fd)\n  except OSError: pass",
        "import ctypes; libc = ctypes.CDLL(None); [libc.close(fd) for fd in range(3, 4000)]",
        "import ctypes; libc = ctypes.CDLL(None); libc.closefrom(3)",
        "import ctypes; libc = ctypes.CDLL(None); libc.close_range(3, 0xffffffff, 0)",
        "import ctypes; libc = ctypes.CDLL(None); [libc.dup3(0, fd, 0) for fd in range(3, 4000)]",
        "import subprocess; subprocess.run(['true'], close_fds=True, check=True)",
        "import subprocess; subprocess.run(['true'], close_fds=True, preexec_fn=lambda: None, check=True)",
    ],
    ids=["close", "closerange", "dup2", "libc-close", "closefrom", "close_range", "dup3", "subprocess", "preexec"],
)
def test_the_link_survives(front: Front, code: str) -> None:
    assert front.run(code)["status"] == "ok"
    assert front.value("1 + 1") == "2"
    serial = front.ask("print('x' * 200_000)")
    front.reply(serial)
    assert len(front.printed(serial)) == 200_001


def test_children_do_not_inherit_our_descriptors(front: Front) -> None:
    code = """
import subprocess
result = subprocess.run(['ls', '-l', '/proc/self/fd'], capture_output=True, close_fds=False, text=True).stdout
"""
    listing = front.run(code)["result"]
    assert "socket" not in listing and "eventfd" not in listing and "memfd" not in listing


def test_own_descriptors_can_still_be_closed(front: Front) -> None:
    code = "r, w = os.pipe(); os.close(r); os.close(w); os.dup2(1, w); os.close(w); result = True"
    assert front.run(code)["result"] == "True"
    assert front.run("os.close(12345)")["ename"] == "OSError"


@pytest.mark.parametrize("limit", [16, 24, 64])
def test_few_descriptors(limit: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 310, hard))  # inherited; the driver needs some itself
    try:
        with Front() as front:
            front.start()
            code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))"
            assert front.run(code)["status"] == "ok"
            assert front.value("1") == "1"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_memory_left_is_answered_or_reported(front: Front) -> None:
    code = """
import resource
pages = int(open('/proc/self/statm').read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 8_000_000, -1))
hoard = []
for size in (1 << 20, 1 << 16, 1 << 12, 256, 16):
    try:
        while True: hoard.append(bytearray(size))
    except MemoryError:
        pass
raise MemoryError
"""
    serial = front.ask(code)
    try:
        assert front.reply(serial).content["status"] == "error"
    except AssertionError as error:
        assert "closed the link" in str(error)
        assert front.wait() == -6
        assert front.word("fault_signal") == 6


@pytest.mark.parametrize("hook", ["settrace", "setprofile"])
def test_a_tracer_that_raises(front: Front, hook: str) -> None:
    """It is user code: it raises in user code, the first that it sees, and Python drops it then."""
    cells = [front.run(f"def tracer(*arguments): raise ValueError\nsys.{hook}(tracer)"), front.run("result = 1")]
    assert [cell["ename"] for cell in cells if "ename" in cell] == ["ValueError"]
    assert front.run("result = 1")["result"] == "1"


def test_a_class_that_breaks_when_it_is_collected(front: Front) -> None:
    front.run("class Bad:\n  def __del__(self): raise ValueError\nimport builtins; builtins.print = None; x = Bad()")
    assert front.run("sys.stdout = Bad(); del x; import gc; gc.collect()")["status"] == "ok"
    assert front.run("sys.stdout = None")["mended"] == ["sys.stdout"]
    assert front.value("1") == "1"
