# SPDX-License-Identifier: BSD-3-Clause
"""Chance and identity: what must be a kernel's own is different in each of 300."""

from __future__ import annotations

import pytest
from nursery import Nursery, Start, born_in_nursery
from raw import block

COUNT = 300
AT_ONCE = 30

DRAW = block("""
    def draw():
        import multiprocessing, os, random, secrets, ssl, tempfile, uuid
        import numpy as np, pandas as pd, scipy.stats, sklearn.utils
        frame = pd.DataFrame({'a': range(10**5)})
        with tempfile.NamedTemporaryFile() as file:
            name = file.name
        place = tempfile.mkdtemp()
        os.rmdir(place)
        return {
            'random': random.random(),
            'random.Random': random.Random().random(),
            'random.SystemRandom': random.SystemRandom().random(),
            'random.sample': random.sample(range(10**9), 3),
            'numpy.random.random': np.random.random(),
            'numpy.random.RandomState': int(np.random.RandomState().randint(2**62)),
            'numpy.random.default_rng': np.random.default_rng().random(),
            'numpy.random.SeedSequence': str(np.random.SeedSequence().entropy),
            'DataFrame.sample': frame.sample(4).a.tolist(),
            'Series.sample': frame.a.sample(4).tolist(),
            'scipy.stats': float(scipy.stats.norm.rvs()),
            'sklearn.utils.shuffle': sklearn.utils.shuffle(list(range(1000)))[:6],
            'uuid1': str(uuid.uuid1()),
            'uuid4': str(uuid.uuid4()),
            'secrets': secrets.token_hex(),
            'os.urandom': os.urandom(16).hex(),
            'ssl': ssl.RAND_bytes(16).hex(),
            'tempfile.mktemp': tempfile.mktemp(),
            'tempfile.NamedTemporaryFile': name,
            'tempfile.mkdtemp': place,
            'multiprocessing authkey': multiprocessing.current_process().authkey.hex(),
            'session': get_ipython().kernel.session.session,
            'process': os.getpid(),
        }
""")


@pytest.mark.timeout(300)
def test_chance_is_distinct_in_300_kernels(nursery: Nursery, start: Start) -> None:
    """Of 300 of a user's; of the 60 that root starts for another one, too, where the same code does it."""
    drawn: dict[str, list[str]] = {}
    count = 2 * AT_ONCE if nursery.system else COUNT
    for _ in range(count // AT_ONCE):
        together = [start(nursery, wait=False, cold=True) for _ in range(AT_ONCE)]
        for kernel in together:
            client = kernel.client()
            client.ok(DRAW)
            born_in_nursery(kernel)
            for name, value in client.evaluate("draw()").items():
                drawn.setdefault(name, []).append(str(value))
        for kernel in together:
            kernel.close()
    distinct = {name: len(set(values)) for name, values in drawn.items()}
    assert distinct == dict.fromkeys(distinct, count)


def test_chance_can_be_fixed(nursery: Nursery, start: Start) -> None:
    """A seed is obeyed as in a cold start: the numbers are those that every Python draws."""
    client = start(nursery).client()
    expected = [0.3745401188473625, 0.6394267984578837]
    client.ok("import random, numpy as np; np.random.seed(42); random.seed(42)")
    assert client.evaluate("[np.random.random(), random.random()]") == expected
