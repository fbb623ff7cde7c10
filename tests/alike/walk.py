# SPDX-License-Identifier: BSD-3-Clause
"""The attributes of the objects that a kernel shows to cells, as facts that can be compared.

cell() is run in a kernel and prints the facts as JSON; differences() says what of one kernel's another's do not have.
"""

import json
from typing import Any

Fact = list[Any]
Facts = dict[str, dict[str, Fact]]  # object: attribute: what it is

# What is walked: a name for each object, and the expression that gives it in a cell.
OBJECTS = {
    "kernel": "get_ipython().kernel",
    "app": "kernelapp.IPKernelApp.instance()",
    "shell": "get_ipython()",
    "stdout": "sys.stdout",
    "stderr": "sys.stderr",
    "display_pub": "get_ipython().display_pub",
    "displayhook": "get_ipython().displayhook",
    "session": "get_ipython().kernel.session",
    "comm": "comm.create_comm(target_name='walked')",
    "old_comm": "ipykernel.comm.Comm(target_name='walked')",
    "comm_manager": "get_ipython().kernel.comm_manager",
    "iopub_socket": "get_ipython().kernel.iopub_socket",
    "iopub_thread": "get_ipython().kernel.iopub_thread",
    "shell_stream": "get_ipython().kernel.shell_stream",
    "control_stream": "get_ipython().kernel.control_stream",
    "stdin_socket": "get_ipython().kernel.stdin_socket",
    "io_loop": "get_ipython().kernel.io_loop",
}

_FUNCTIONS = '''
def _fact(value):
    """What a value is: ["call", parameters, is it async], ["value", type, repr] or ["object", type]."""
    kind = type(value).__module__ + "." + type(value).__qualname__
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        try:
            found = inspect.signature(value).parameters.values()
            parameters = [[one.name, int(one.kind), one.default is not one.empty] for one in found]
        except (TypeError, ValueError):
            parameters = None
        return ["call", parameters, inspect.iscoroutinefunction(value)]
    if isinstance(value, (int, float, str, bytes, tuple, type(None))):
        return ["value", kind, repr(value)]
    if isinstance(value, type):
        return ["class", [one.__module__ + "." + one.__qualname__ for one in value.__mro__]]
    if inspect.ismodule(value):
        return ["module", value.__name__]
    kinds = [one.__module__ + "." + one.__qualname__ for one in type(value).__mro__]
    return ["object", kinds + ["collections.abc.Mapping"] * isinstance(value, collections.abc.Mapping)]


def _facts_of(thing, names):
    facts = {"": _fact(thing)}
    for name in names or dir(thing):
        try:
            if name and not name.startswith("__"):
                facts[name] = _fact(getattr(thing, name))
        except AttributeError:
            pass
        except Exception as error:
            facts[name] = ["raises", type(error).__name__]
    return facts


def _facts_of_module(name, names):
    """Of what the package itself defines; a module's own imports are no promise."""
    module = importlib.import_module(name)
    own = [
        one
        for one, value in vars(module).items()
        if not one.startswith("_") and str(getattr(value, "__module__", name)).startswith("ipykernel")
    ]
    return _facts_of(module, names or own)
'''


def cell(modules: list[str], names: dict[str, list[str]]) -> str:
    """The source of a cell that prints the facts: of these names of each object, or of all that it has."""
    things = ",\n".join(f"{name!r}: lambda: {expression}" for name, expression in OBJECTS.items())
    return f"""
def _walk():
    import collections.abc, comm, functools, importlib, inspect, json, sys, warnings
    import ipykernel.comm
    from ipykernel import kernelapp
    globals().update(collections=collections, functools=functools, importlib=importlib, inspect=inspect)
    names = {names!r}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        facts = {{name: _facts_of(make(), names.get(name)) for name, make in {{{things}}}.items()}}
        facts |= {{name: _facts_of_module(name, names.get(name)) for name in {modules!r}}}
    print(json.dumps(facts))
{_FUNCTIONS}
_walk()
"""


def read(text: str) -> Facts:
    facts: Facts = json.loads(text)
    return facts


def stable(first: Facts, second: Facts) -> Facts:
    """The facts of two kernels of one kind, without the values in which even they differ (ports, names, pids)."""
    return {
        owner: {
            name: fact if fact == second[owner].get(name) or fact[0] != "value" else ["value", fact[1], None]
            for name, fact in facts.items()
        }
        for owner, facts in first.items()
    }


_POSITIONAL, _EITHER, _ARGS, _KEYWORD, _KWARGS = range(5)  # inspect's kinds of parameters


def takes(ours: list[Any] | None, theirs: list[Any] | None) -> bool:
    """Whether each call that fits `theirs` fits `ours`."""
    if ours is None or theirs is None:
        return True
    if {_ARGS, _KWARGS} <= {kind for _, kind, _ in theirs}:
        return True  # a wrapper, which promises nothing
    kinds = {kind for _, kind, _ in ours}
    named = {name for name, kind, _ in ours if kind in (_EITHER, _KEYWORD)}
    positions = [name for name, kind, _ in ours if kind in (_POSITIONAL, _EITHER)]
    asked = {name for name, kind, _ in theirs}
    for index, (name, kind, _) in enumerate(one for one in theirs if one[1] in (_POSITIONAL, _EITHER)):
        here = index < len(positions) or _ARGS in kinds
        if not here or (kind == _EITHER and _KWARGS not in kinds and name not in named):
            return False
        if kind == _EITHER and name in positions and positions.index(name) != index:
            return False
    for name, kind, _ in theirs:
        if kind == _KEYWORD and name not in named and _KWARGS not in kinds:
            return False
        if kind in (_ARGS, _KWARGS) and kind not in kinds:
            return False
    left_out = {name for name, _, default in theirs if default}
    return all(
        default or name in asked - left_out or index < sum(not one[2] for one in theirs)
        for index, (name, kind, default) in enumerate(ours)
        if kind in (_POSITIONAL, _EITHER, _KEYWORD)
    )


def compares(ours: Fact, theirs: Fact) -> bool:
    """Whether what is there is of the same kind: takes the same calls, has the same value, is of the same class."""
    if theirs[0] == "raises":
        return True
    if theirs[0] != ours[0]:
        return False
    if theirs[0] == "call":
        return takes(ours[1], theirs[1]) and ours[2] == theirs[2]
    if theirs[0] == "value":
        return ours[1] == theirs[1] and theirs[2] in (None, ours[2])
    if theirs[0] in ("object", "class"):
        abstract = [kind for kind in theirs[1] if kind.startswith("collections.abc.")]
        return bool({theirs[1][0], *abstract[:1]} & set(ours[1]))
    return bool(ours[1] == theirs[1])


def differences(ours: Facts, theirs: Facts) -> dict[str, str]:
    """OBJECT.NAME: what is the matter, for each fact of `theirs` with which `ours` does not compare."""
    found: dict[str, str] = {}
    # An attribute that is one of the objects that are walked is judged there, by what it can do.
    walked = [(ours[owner][""], theirs[owner][""]) for owner in OBJECTS if owner in ours and "" in theirs[owner]]
    for owner, facts in theirs.items():
        for name, fact in facts.items():
            mine = ours.get(owner, {}).get(name)
            if mine is None:
                found[f"{owner}.{name}"] = "is missing"
            elif not compares(mine, fact) and (not name or (mine, fact) not in walked):
                found[f"{owner}.{name}"] = f"is {mine}, not {fact}"
    return found
