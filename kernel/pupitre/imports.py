# SPDX-License-Identifier: BSD-3-Clause
"""What happens when user code imports certain modules: ipykernel is ours, and comm, pdb and others get our additions
once they are loaded.

All by one finder at the front of sys.meta_path, so that nothing is imported before somebody wants it.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from . import door
from .unseen import unseen_methods

_DEBUGGER = "IPython.core.debugger"
_LOOKALIKE = os.path.join(os.path.dirname(__file__), "lookalike", "ipykernel")
LAUNCHER = os.path.join(os.path.dirname(__file__), "lookalike", "ipykernel_launcher.py")  # sys.argv[0] of cells


def _adapt_comm(module: ModuleType) -> None:
    """comm.create_comm makes our comms. They are imported then, not now: importing them may be what imports comm."""

    def create_comm(*args: Any, **kwargs: Any) -> Any:
        from .comms import BaseComm

        return BaseComm(*args, **kwargs)

    def get_comm_manager() -> Any:
        from .comms import manager

        return manager()

    module.create_comm = door.unseen(create_comm)  # type: ignore[attr-defined]
    module.get_comm_manager = door.unseen(get_comm_manager)  # type: ignore[attr-defined]


def _adapt_pdb(module: ModuleType) -> None:
    debugger = sys.modules.get(_DEBUGGER) or import_module(_DEBUGGER)
    if hasattr(debugger, "InterruptiblePdb"):  # else it is what imports pdb, and _adapt_debugger comes later
        _adapt_debugger(debugger)


def _adapt_debugger(module: ModuleType) -> None:
    from .debugger import Pdb

    sys.modules["pdb"].Pdb = Pdb  # type: ignore[attr-defined]


def _adapt_runner(module: ModuleType) -> None:
    """Its run() asks whether a loop runs before it comes to asyncio.run(), which may be called where one does."""
    from .otherloops import hide_loop_during

    module.run = hide_loop_during(module.run)  # type: ignore[attr-defined]


def _adapt_pydevd(module: ModuleType) -> None:
    """debugpy warns in four lines that it cannot stop in the standard library's frozen modules, as nobody wants to."""
    module.DISABLE_FILE_VALIDATION = True  # type: ignore[attr-defined]


def _adapt_line_profiler(module: ModuleType) -> None:
    """%lprun knows cells by a folder among the temporary files, which is not where ours are."""
    from .compiler import cell_folder

    for name in ("is_generated_code", "is_ipython_kernel_cell"):
        known = getattr(module, name, None)
        if known is not None:
            setattr(module, name, lambda file, known=known: file.startswith(cell_folder() + os.sep) or known(file))


_ADAPT: dict[str, Callable[[ModuleType], None]] = {
    "comm": _adapt_comm,
    "pdb": _adapt_pdb,
    _DEBUGGER: _adapt_debugger,
    "anyio._core._eventloop": _adapt_runner,
    "uvloop": _adapt_runner,
    "line_profiler.line_profiler": _adapt_line_profiler,
    "_pydevd_bundle.pydevd_constants": _adapt_pydevd,
}


@unseen_methods
class _Adapting:
    """A loader that runs the real one and then the addition."""

    def __init__(self, loader: Any, adapt: Callable[[ModuleType], None]) -> None:
        self._loader, self._adapt = loader, adapt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._adapt(module)


@unseen_methods
class Finder:
    """Finds ipykernel, and wraps the loaders of the modules in _ADAPT."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "ipykernel":
            return _lookalike_spec()
        adapt = _ADAPT.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if adapt is not None else None
        if spec is not None and spec.loader is not None and adapt is not None:
            spec.loader = _Adapting(spec.loader, adapt)  # type: ignore[assignment]
        return spec


def _lookalike_spec() -> ModuleSpec | None:
    """Ours, with the real package's folders behind it on __path__ for the modules that we do not have."""
    places = [_LOOKALIKE]
    real = PathFinder.find_spec("ipykernel")
    if real is not None and real.submodule_search_locations is not None:
        places += real.submodule_search_locations
    return spec_from_file_location(
        "ipykernel", os.path.join(_LOOKALIKE, "__init__.py"), submodule_search_locations=places
    )


def install() -> None:
    """Begin finding. ipykernel and ipykernel.zmqshell are in sys.modules from now on, where libraries look for them."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    # Not derived from importlib.abc.MetaPathFinder, which costs an import of importlib.resources.
    sys.meta_path.insert(0, Finder())
    for name, adapt in _ADAPT.items():
        if name in sys.modules:
            adapt(sys.modules[name])
    for name in ("ipykernel", "ipykernel.zmqshell"):
        _import_now(name)


def _import_now(name: str) -> None:
    spec = _lookalike_spec() if name == "ipykernel" else PathFinder.find_spec(name, [_LOOKALIKE])
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)
