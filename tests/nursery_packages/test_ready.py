# SPDX-License-Identifier: BSD-3-Clause
"""A nursery that was told of what classes use is ready with it, each package alone and all of them together, and what
they do in a forked kernel is what they do.
"""

from __future__ import annotations

import sys

import pytest
from launch import Kernel
from nursery import Begin, Nursery, Start, born_in_nursery
from procs import Process
from pupitre.nursery import status
from pupitre.nursery.messages import TemplateState
from raw import block
from test_memory import CELLS, private, settled

TEN_CELLS = 6.0 if sys.version_info < (3, 12) else 4.0  # MB, private memory of a whole kernel with all of them
# It starts a thread of its own (polars-ooc-cleaner), which no setting of it prevents; what imports it, too.
LEFT_OUT = {"polars"}
# By the name that one imports: what shows that it works.
PACKAGES = {
    "numpy": "assert (numpy.eye(3) @ numpy.ones(3)).sum() == 3",
    "pandas": """
        frame = pandas.DataFrame({'a': [1, 2, 3], 'b': pandas.array(['x', 'y', 'x'], dtype='string[pyarrow]')})
        assert frame.groupby('b').a.sum().tolist() == [4, 2] and frame.b.str.upper().tolist() == ['X', 'Y', 'X']
    """,
    "matplotlib": """
        import matplotlib.pyplot as plt
        assert plt.plot([1, 2])[0].get_xdata().tolist() == [0, 1]; plt.close()
    """,
    "scipy": """
        import scipy.stats, scipy.optimize
        assert abs(scipy.stats.norm.cdf(0) - .5) < 1e-9 and abs(scipy.optimize.brentq(lambda x: x - 1, 0, 3) - 1) < 1e-9
    """,
    "sklearn": """
        from sklearn.cluster import KMeans; from sklearn.ensemble import RandomForestClassifier
        x = [[n % 7, n % 3] for n in range(60)]; y = [n % 7 > 3 for n in range(60)]
        assert len(KMeans(3, n_init=1).fit(x).labels_) == 60
        assert RandomForestClassifier(10, n_jobs=2).fit(x, y).score(x, y) > .9
    """,
    "seaborn": "import pandas; seaborn.histplot(pandas.DataFrame({'a': [1, 2, 2]}), x='a').figure.clear()",
    "statsmodels": """
        import numpy, statsmodels.api as sm
        x = sm.add_constant(numpy.arange(9.)); assert abs(sm.OLS(3 * x[:, 1] + 1, x).fit().params[1] - 3) < 1e-9
    """,
    "sympy": "x = sympy.symbols('x'); assert sympy.integrate(2 * x, x) == x**2",
    "networkx": "assert networkx.shortest_path(networkx.path_graph(4), 0, 3) == [0, 1, 2, 3]",
    "plotly": """
        import plotly.express as px
        assert 'scatter' in px.scatter(x=[1, 2], y=[3, 4]).to_json()
    """,
    "polars": """
        frame = polars.DataFrame({'a': [1, 2, 3], 'b': ['x', 'y', 'x']})
        assert frame.group_by('b').agg(polars.col('a').sum()).sort('b')['a'].to_list() == [4, 2]
        assert frame.lazy().filter(polars.col('a') > 1).collect().height == 2
    """,
    "pyarrow": """
        import pyarrow.compute as pc, pyarrow.parquet as pq
        table = pyarrow.table({'a': list(range(100_000))}); pq.write_table(table, 'a.parquet')
        assert pc.sum(pq.read_table('a.parquet')['a']).as_py() == sum(range(100_000))
    """,
    "duckdb": "assert duckdb.sql('select sum(range) from range(1000000)').fetchall() == [(499999500000,)]",
    "xarray": "assert xarray.DataArray([[1, 2], [3, 4]], dims=('x', 'y')).sum('x').values.tolist() == [4, 6]",
    "ipywidgets": "assert ipywidgets.IntSlider(value=3).value == 3",
    "tqdm": """
        import tqdm.auto, tqdm.contrib.concurrent as c
        assert sum(tqdm.tqdm(range(5))) == 10 and c.thread_map(abs, [-1]) == [1] and c.process_map(abs, [-1]) == [1]
    """,
}


def left_out(nursery: Nursery) -> set[str]:
    (template,) = [t for t in nursery.status().templates if t.state == TemplateState.READY]
    return {text.partition(":")[0] for text in status.left_out(template.text)}


def weigh(what: str, nursery: Nursery, kernels: list[Kernel], table: list[str]) -> float:
    """A line for the table; MB of a whole kernel after ten cells. Of these kernels the first stays as it was born."""
    for kernel in kernels[1:]:
        client = kernel.client()
        for cell in CELLS:
            client.ok(cell)
    workers = [settled(born_in_nursery(kernel)) for kernel in kernels]
    fronts = [private(Process.open(kernel.pid)) for kernel in kernels]  # type: ignore[arg-type]
    ready, *after = (worker + front for worker, front in zip(workers, fronts, strict=True))
    forked = sorted(nursery.status().fork_us)[0] / 1000
    line = f"{what:12} ready in {nursery.seconds:5.1f} s, fork {forked:4.1f} ms, {ready:5.2f} MB ready"
    table.append(f"{line}, {max(after):5.2f} MB after ten cells")
    return max(after)


@pytest.mark.parametrize("name", PACKAGES)
def test_ready_alone(begin: Begin, start: Start, table: list[str], name: str) -> None:
    nursery = begin("--import", name)
    assert left_out(nursery) == LEFT_OUT & {name}
    kernels = [start(nursery) for _ in range(3)]
    assert weigh(name, nursery, kernels, table) <= TEN_CELLS
    client = kernels[0].client()
    assert client.ok(f"import sys; {name!r} in sys.modules").text == str(name not in LEFT_OUT)
    client.ok(f"import {name}\n{block(PACKAGES[name])}", deadline=60)


@pytest.mark.timeout(300)
def test_ready_together(begin: Begin, start: Start, table: list[str]) -> None:
    nursery = begin("--import", ",".join(PACKAGES))
    assert left_out(nursery) == LEFT_OUT
    kernels = [start(nursery) for _ in range(3)]
    after = weigh("all of them", nursery, kernels, table)
    client = kernels[0].client()
    for name, code in PACKAGES.items():
        client.ok(f"import {name}\n{block(code)}", deadline=60)
    assert after <= TEN_CELLS
