# SPDX-License-Identifier: BSD-3-Clause
"""What a course imports works in a kernel that was forked after it was imported and rehearsed: BLAS, OpenMP, plots,
pools, and everything that starts threads or processes.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
from nursery import Begin, Nursery, Start
from raw import block

WORK = {
    "numpy dot": """
        import numpy as np
        a = np.random.default_rng(1).normal(size=(1500, 1500))
        assert abs(np.trace(a.T @ a) - (a * a).sum()) < 1e-4
    """,
    "numpy inv": """
        import numpy as np
        a = np.random.default_rng(1).normal(size=(600, 600))
        assert np.allclose(np.linalg.inv(a) @ a, np.eye(600), atol=1e-6)
        assert np.linalg.svd(a)[1].shape == (600,)
    """,
    "scipy": """
        import numpy as np, scipy.fft, scipy.linalg, scipy.optimize, scipy.sparse.linalg, scipy.stats
        a = np.random.default_rng(1).normal(size=(400, 400))
        assert np.allclose(scipy.linalg.lu_factor(a)[0].shape, (400, 400))
        assert abs(scipy.optimize.minimize(lambda x: (x - 3) ** 2, 0.0).x[0] - 3) < 1e-4
        assert scipy.fft.fft(a, workers=2).shape == a.shape
        assert scipy.stats.ttest_ind(a[0], a[0]).pvalue == 1
    """,
    "sklearn": """
        import numpy as np
        from sklearn.cluster import KMeans
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        x = np.random.default_rng(1).normal(size=(3000, 5)); y = x[:, 0] > 0
        assert len(KMeans(3, n_init=2).fit(x).cluster_centers_) == 3
        assert LogisticRegression().fit(x, y).score(x, y) > 0.9
        assert HistGradientBoostingClassifier(max_iter=5).fit(x, y).score(x, y) > 0.9
        assert RandomForestClassifier(20, n_jobs=2).fit(x, y).score(x, y) > 0.9
    """,
    "pandas": """
        import io, pandas as pd
        frame = pd.read_csv(io.StringIO('a,b\\n' + '\\n'.join(f'{i % 7},{i}' for i in range(50000))))
        assert frame.groupby('a').b.sum().sum() == sum(range(50000))
        assert len(frame.merge(frame.sample(100), on='b')) == 100
        assert (frame.eval('a + b') >= frame.b).all() and len(frame.query('b > 10 and a == 1')) > 1000
    """,
    "threads of OpenMP": """
        import numpy as np, os, threadpoolctl
        threadpoolctl.threadpool_limits(2)
        a = np.random.default_rng(1).normal(size=(1000, 1000))
        for _ in range(3): a @ a
        from sklearn.cluster import KMeans
        KMeans(4, n_init=1).fit(a[:, :10])
    """,
    "threads": """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda n: n * n, range(100))) == 328350
        thread = threading.Thread(target=lambda: seen.append(threading.current_thread().name)); seen = []
        thread.start(); thread.join()
        assert len(seen) == 1 and threading.active_count() == 1
    """,
    "processes": """
        import multiprocessing, os
        from concurrent.futures import ProcessPoolExecutor
        context = multiprocessing.get_context('fork')
        with context.Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(abs, [-3])) == [3]
        queue = context.SimpleQueue()
        process = context.Process(target=queue.put, args=(os.getpid(),)); process.start(); process.join()
        assert process.exitcode == 0 and queue.get() == os.getpid()
    """,
    "spawned processes": """
        import multiprocessing, operator
        context = multiprocessing.get_context('spawn')
        with context.Pool(1) as pool:
            assert pool.apply(operator.add, (1, 2)) == 3
    """,
    "fork": """
        import os
        child = os.fork()
        if child == 0:
            import numpy as np
            os._exit(int(np.ones(3).sum()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    """,
    "subprocess": """
        import subprocess, sys
        code = 'import numpy, os; print(numpy.__file__, os.environ["HOME"])'
        out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
        import numpy, os
        assert out == [numpy.__file__, os.environ['HOME']]
    """,
    "asyncio": """
        import asyncio
        async def main():
            process = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
            return (await process.communicate(b'x'))[0], await asyncio.to_thread(sum, [1, 2])
        assert asyncio.run(main()) == (b'x', 3)
        assert await main() == (b'x', 3)
    """,
    "joblib": """
        from joblib import Parallel, delayed
        assert Parallel(2)(delayed(abs)(-n) for n in range(4)) == [0, 1, 2, 3]
    """,
    "pickles and caches": """
        import functools, pickle, re, pandas as pd
        frame = pd.DataFrame({'a': [1, 2]})
        assert pickle.loads(pickle.dumps(frame)).equals(frame)
        assert re.compile('(a+)b').match('aab')[1] == 'aa'
    """,
    "weak references and collector": """
        import gc, weakref
        class A: pass
        a = A(); a.me = a; there = weakref.ref(a); del a
        gc.collect()
        assert there() is None and gc.isenabled()
    """,
}


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_packages_work(nursery: Nursery, start: Start, name: str) -> None:
    client = start(nursery).client()
    client.ok(block(WORK[name]), deadline=60)
    assert client.ok("1+1").text == "2"


def test_packages_are_there_already(nursery: Nursery, start: Start) -> None:
    """Imported before the kernel was born, and not in the user's way."""
    client = start(nursery).client()
    expected = ["numpy", "pandas", "matplotlib.pyplot", "scipy.stats", "sklearn"]
    assert client.evaluate(f"[name for name in {expected} if name in __import__('sys').modules]") == expected
    for name in ("np", "numpy", "pd", "plt", "df", "x", "f"):
        assert client.run(name).content.get("ename") == "NameError"
    assert client.evaluate("sorted(n for n in globals() if not n.startswith('_'))") == [
        "In", "Out", "exit", "get_ipython", "open", "quit",
    ]  # fmt: skip


def test_packages_first_cell_is_number_one(nursery: Nursery, start: Start) -> None:
    client = start(nursery).client()
    first = client.ok("'one'")
    assert first.count == 1 and first.text == "'one'"
    assert client.ok("_, _1, Out, len(In)").text == "('one', 'one', {1: 'one'}, 3)"


def test_packages_show_what_they_showed(nursery: Nursery, start: Start) -> None:
    """The same text and pictures as a cold kernel's, cell by cell."""
    cells = [
        "import builtins; print(sorted(builtins.__dict__))",
        "%matplotlib --list",
        "import numpy as np, pandas as pd\n%precision 4",
        "np.float64(1/3), [np.float64(1/3), 1/3]",
        "%precision",
        "np.float64(1.5), np.arange(3)",
        "np.float64(1.5)",
        "pd.DataFrame({'a': [1.5, 2], 'b': ['x', None]})",
        "pd.Series([1, 2]).describe()",
        "[1.0, 1e100, float('nan')], {3, 1, 2}, {'b': 1, 'a': 2}",
        "pd.DataFrame({'a': [1]})['b']",
        "def f(): return 1/0\nf()",
        "?len",
        "undefined_name",
        "import warnings; warnings.warn('careful')",
        "%precision 3\n3.14159",
        "print(object.__doc__)",
    ]
    warm, cold = start(nursery).client(), start(None, cold=True).client()
    for cell in cells:
        results = [client.run(cell) for client in (warm, cold)]
        shown = [
            [
                *[message.content.get("data") for message in result.messages if message.type != "stream"],
                mask(result.stdout), mask(result.stderr), mask(str(result.content.get("traceback"))),
            ]
            for result in results
        ]  # fmt: skip
        assert shown[0] == shown[1], cell


def mask(text: str) -> str:
    import re

    return re.sub(r"ipykernel_\d+|0x[0-9a-f]+", "…", text)


@pytest.mark.parametrize("configured", [False, True], ids=["plain", "configured"])
def test_packages_plots_appear(nursery: Nursery, start: Start, configured: bool) -> None:
    def prepare(home: object) -> dict[str, object]:
        from pathlib import Path

        profile = Path(str(home)) / "ipython/profile_default"
        profile.mkdir(parents=True)
        if configured:
            (profile / "ipython_config.py").write_text("c.InlineBackend.figure_formats = {'svg'}\n")
        return {}

    client = start(nursery, prepare=prepare).client()
    for _ in range(2):
        result = client.ok("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]); plt.title('Grâce')")
        (picture,) = result.all("display_data")
        if configured:
            assert "<svg" in picture.content["data"]["image/svg+xml"]
        else:
            assert base64.b64decode(picture.content["data"]["image/png"])[:8] == b"\x89PNG\r\n\x1a\n"


def test_packages_finish(nursery: Nursery, start: Start) -> None:
    """The end of a kernel: what is to be tidied up is, once, and nothing that was the template's."""
    kernel = start(nursery)
    client = kernel.client()
    client.ok(
        block("""
        import atexit, tempfile, weakref
        place = tempfile.TemporaryDirectory()
        class Thing: pass
        thing = Thing()
        weakref.finalize(thing, open('weak', 'a').write, 'x')
        atexit.register(lambda: open('atexit', 'a').write('x'))
        """)
    )
    temporary = client.evaluate("place.name")
    client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
    assert kernel.wait_exit() == 0
    assert (kernel.directory / "atexit").read_text() == "x"
    assert (kernel.directory / "weak").read_text() == "x"
    assert not __import__("pathlib").Path(temporary).exists()
    assert start(nursery).client().ok("1").text == "1"


if sys.version_info >= (3, 12):

    def test_packages_immortal_objects(nursery: Nursery, start: Start) -> None:
        """Objects that live for ever can be used, changed and let go like others."""
        client = start(nursery).client()
        client.ok("import pandas as pd\ndel pd.DataFrame.merge\nassert not hasattr(pd.DataFrame, 'merge')")
        client.ok("import gc; gc.collect(); gc.collect()")
        assert start(nursery).client().ok("import pandas; hasattr(pandas.DataFrame, 'merge')").text == "True"


@pytest.mark.long
def test_what_packages_see_while_they_are_imported(begin: Begin, tmp_path: Path) -> None:
    """Nothing of whoever started the nursery: usual places, a home of the template's own, one thread."""
    code = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'seen')!r}, 'w'))"
    cell = {"cell_type": "code", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    notebook = tmp_path / "rehearsal.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    secret = {"SECRET": "x", "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "7", "MPLCONFIGDIR": "/x", "LC_ALL": "C"}
    begin("--import", "json", "--rehearsal", str(notebook), environment=secret)
    seen = json.loads((tmp_path / "seen").read_text())
    home = seen["HOME"]
    wanted = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "IPYTHONDIR": f"{home}/ipython",
        "XDG_CACHE_HOME": f"{home}/cache",
        **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB")},
    }
    assert home.endswith(".home") and seen.items() >= wanted.items()
    assert not seen.keys() & (secret.keys() - wanted.keys())
