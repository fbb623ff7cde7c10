# SPDX-License-Identifier: BSD-3-Clause
"""What modules have worked out when they were imported is the same in a cold and in a warm kernel of the same user:
every global of every module that both have, value by value, as far as two cold kernels agree on it.
"""

from __future__ import annotations

import json
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from nursery import Nursery, Start, born_in_nursery, started_cold
from raw import block
from test_alike import Comparison, plain

MODULES = "numpy, pandas, matplotlib.pyplot, scipy.stats, sklearn, multiprocessing.spawn, concurrent.futures.process"
CACHE = "filled when it is asked for something; the rehearsal has"
DRAWN = "the rehearsal has drawn something and shown an error"
OURS = "ours, or of a process by itself; see test_alike.py"
LOGGER = "remembers which levels are on, and forgets it when one is set"
# What differs, by module and name, and why. Nothing else may.
MAY_DIFFER = {
    "PIL.*": DRAWN,
    "pygments.*": DRAWN,
    "IPython.*.Token": DRAWN,
    "IPython.utils.PyColorize.*": DRAWN,
    "matplotlib.pyplot.*": "the inline backend is at work already; compared again after a figure in test_alike.py",
    "matplotlib.*backend_registry": "as matplotlib.pyplot",
    "matplotlib.backends.registry.*": "as matplotlib.pyplot",
    "matplotlib.colors._colors_full_map": CACHE,
    "IPython.utils.terminal.TERM": "only what a terminal would show",
    "encodings._cache": CACHE,
    "re._cache": CACHE,
    "inspect.*": CACHE,
    "linecache.cache": CACHE,
    "pupitre.compiler.modulesbyfile": CACHE,
    "typing._cleanups": "a function for each cache of typing",
    "*.logger": LOGGER,
    "*._log": LOGGER,
    "pupitre.*": OURS,
    "_pupitre.*": OURS,
    "sys.builtin_module_names": OURS,
    "sys.modules": OURS,
    "warnings.filters": "test_warnings.py",
    "_warnings.filters": "test_warnings.py",
    "_asyncio._current_tasks": OURS,
    "asyncio.tasks._current_tasks": OURS,
    "numpy.f2py.rules.module_rules": "a comment with the time, for sources that it writes",
    "scipy.sparse._data.*": "the last of a set, whose order is each process's own",
    "threading._shutdown_locks": "of threads that have ended",
}
CODE = block(f"""
    import {MODULES}
    def globals_of_modules():
        import hashlib, os, re, sys, types
        plain = (int, float, complex, str, bytes, bool, type(None), range, slice, type(...))
        address = re.compile('0x[0-9a-f]+')
        def text(value, depth=0):
            if isinstance(value, plain) and type(value).__repr__ is not object.__repr__:
                shown = repr(value)
                return shown if len(shown) < 500 else hashlib.sha256(shown.encode()).hexdigest()
            if depth < 4 and type(value) in (list, tuple):
                inside = [text(each, depth + 1) for each in value[:200]]
                return sorted(inside) if all(type(each) is str for each in value) else inside  # or made of a set
            if depth < 4 and type(value) in (set, frozenset):
                return sorted(str(text(each, depth + 1)) for each in value)
            if depth < 4 and type(value) in (dict, types.MappingProxyType):
                return sorted((str(text(k, depth + 1)), str(text(v, depth + 1))) for k, v in value.items())
            if isinstance(value, os.PathLike):
                return os.fspath(value)
            if depth < 2 and hasattr(value, '__dict__'):
                if not isinstance(value, (type, types.ModuleType, types.FunctionType)):
                    inside = sorted(vars(value).items(), key=str)
                    return [type(value).__name__, {{k: text(v, depth + 2) for k, v in inside}}]
            return type(value).__name__
        found = {{}}
        for name, module in sorted(sys.modules.items()):
            if type(module) is types.ModuleType and not name.endswith('__main__') and name != '__mp_main__':
                for key, value in list(vars(module).items()):
                    if key.startswith('__') and key != '__all__' or isinstance(value, types.ModuleType):
                        continue
                    try:
                        shown = str(text(value))
                    except Exception as error:
                        shown = type(error).__name__
                    found[name + '.' + key] = address.sub('0x', shown)[:3000]
        return found
    def write():
        import json, os
        with open('globals', 'w') as file:
            json.dump(globals_of_modules(), file)
""")
# Numbers that are a moment between two others, as seconds or nanoseconds.
MOMENTS = block("""
    def moments(begin, end):
        import sys, types
        found = []
        for name, module in list(sys.modules.items()):
            if type(module) is types.ModuleType:
                for key, value in list(vars(module).items()):
                    for one in [value, *(list(vars(value).values()) if type(value) is type else [])]:
                        if type(one) in (int, float) and (begin <= one < end or begin <= one / 1e9 < end):
                            found.append(name + '.' + key)
        return sorted(found)
""")


def picture(comparison: Comparison, is_warm: bool) -> dict[str, str]:
    kernel = comparison.launch(is_warm)
    try:
        (born_in_nursery if is_warm else started_cold)(kernel)
        client = kernel.client()
        client.ok(CODE, deadline=60)
        client.ok("write()", deadline=60)
        found: dict[str, str] = json.loads((kernel.directory / "globals").read_text())
    finally:
        kernel.close()
    return found


def around(text: str, other: str) -> str:
    """Where it begins to differ."""
    same = next((n for n, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), 0)
    return text[max(0, same - 50) : same + 200]


def is_explained(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in MAY_DIFFER)


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_globals_are_alike(nursery: Nursery, directory: Path) -> None:
    comparison = Comparison(nursery, directory, plain)
    cold, again, warm = (picture(comparison, is_warm) for is_warm in (False, False, True))
    same = {name for name in cold.keys() & again.keys() & warm.keys() if cold[name] == again[name]}
    assert len(same) > 10_000
    differ = sorted(name for name in same if cold[name] != warm[name] and not is_explained(name))
    told = [
        f"{name}\n  cold {around(cold[name], warm[name])}\n  warm {around(warm[name], cold[name])}" for name in differ
    ]
    assert not told, f"{len(told)} of {len(same)}:\n" + "\n".join(told)


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_globals_keep_no_moment(nursery: Nursery, start: Start) -> None:
    """Of the time when the template was made, of which a cold kernel knows nothing."""
    begin, end = nursery.socket.stat().st_ctime, int(time.time())
    client = start(nursery).client()
    client.ok(MOMENTS)
    found = client.evaluate(f"moments({begin}, {end})")
    assert [name for name in found if not is_explained(name)] == []
    client.ok("import time; time.clock_began = time.time()")
    assert "time.clock_began" in client.evaluate(f"moments({begin}, {time.time()})")
