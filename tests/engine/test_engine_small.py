# SPDX-License-Identifier: BSD-3-Clause
"""Parts by themselves: cell names, light imports, the import finder."""

import importlib
import sys
from types import ModuleType

import pytest
from harness import Engine
from pupitre import compiler, imports, lean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 3990065800),
        ("a", 2167009006),
        ("1 + 1", 2359671083),
        ("x = 'é😀'\n", 2701299081),
        ("print('hello world')", 2583578697),
    ],
)
def test_murmur2(text: str, expected: int) -> None:
    """As ipykernel's."""
    assert compiler.murmur2(text.encode(), compiler.HASH_SEED) == expected


def test_cell_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name = compiler.cell_name("x")
    assert name == compiler.cell_name("x") != compiler.cell_name("y")
    assert name.startswith(compiler.cell_folder()) and "ipykernel_" in name and name.endswith(".py")
    monkeypatch.setenv("IPYKERNEL_CELL_NAME", "fixed")
    assert compiler.cell_name("x") == "fixed"


def test_later_module(monkeypatch: pytest.MonkeyPatch) -> None:
    later = lean.LaterModule("colorsys", ("rgb_to_hsv",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert later.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert later.ONE_THIRD == importlib.import_module("colorsys").ONE_THIRD
    with pytest.raises(AttributeError):
        _ = later.nonsense
    with pytest.raises(AttributeError):
        _ = later.__wrapped__


def test_import_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("this_needs", "colorsys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    lean.import_without("colorsys", {"left_out_zz": ()})
    assert "left_out_zz" not in sys.modules


def test_asyncio_has_its_tls_when_wanted(engine: Engine) -> None:
    code = "import asyncio, ssl\nfrom asyncio import base_events, sslproto\n"
    code += (
        "isinstance(ssl.create_default_context(), base_events.ssl.SSLContext), "
        "sslproto.SSLProtocol is base_events.sslproto.SSLProtocol"
    )
    assert engine.result(code) == "(True, True)"


def test_finder_adapts_once_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ModuleType] = []
    monkeypatch.setitem(imports._ADAPT, "colorsys", seen.append)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    module = importlib.import_module("colorsys")
    assert seen == [module] and type(module.__loader__).__name__ == "SourceFileLoader"
    imports.install()
    assert sum(isinstance(finder, imports.Finder) for finder in sys.meta_path) == 1


def test_pdb_ends_at_an_interrupt(engine: Engine) -> None:
    assert engine.result("import pdb; [cls.__name__ for cls in pdb.Pdb.mro()[:2]]") == "['Pdb', 'InterruptiblePdb']"


@pytest.mark.parametrize("first", ["pdb", "IPython.core.debugger"])
def test_either_debugger_may_come_first(engine: Engine, first: str) -> None:
    """%debug imports IPython's, which imports the standard one, before which ours is put."""
    import IPython.core

    names = ("pdb", "IPython.core.debugger", "pupitre.debugger")
    saved = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    del IPython.core.debugger  # `from IPython.core import debugger` would find it
    try:
        importlib.import_module(first)
        debugger, pdb = sys.modules["IPython.core.debugger"], sys.modules["pdb"]
        assert issubclass(pdb.Pdb, debugger.InterruptiblePdb) and not issubclass(debugger.OldPdb, pdb.Pdb)
    finally:
        sys.modules.update(saved)
        IPython.core.debugger = sys.modules["IPython.core.debugger"]


def test_module_of_a_cell_is_known(engine: Engine) -> None:
    """Without it inspect asks every module in sys.modules for its file, for each line of a traceback."""
    assert engine.result("import inspect, sys; inspect.getmodule(sys._getframe()).__name__") == "'__main__'"
