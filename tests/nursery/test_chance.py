# SPDX-License-Identifier: BSD-3-Clause
"""Chance and identity: what must be a kernel's own is different in each of 300."""

from __future__ import annotations

from pathlib import Path

import pytest
from nursery import Begin, Nursery, Start, born_in_nursery, python_of
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
@pytest.mark.long
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


# A package that made its generators when it was imported, in the template.
DEALER = block("""
    import random, numpy
    class Dice:
        # Of a library that nobody knows.
        def __init__(self): self.seed()
        def seed(self, number=None): self.state = number or random.SystemRandom().getrandbits(32)
        def random(self):
            self.state = self.state * 1103515245 + 12345 & 0xffffffff
            return self.state
    class Cards(random.Random): pass
    sequence = numpy.random.SeedSequence()
    chance = {
        'random.Random': random.Random(), 'a subclass': Cards(), 'the next library': Dice(),
        'default_rng': numpy.random.default_rng(), 'RandomState': numpy.random.RandomState(),
        'MT19937': numpy.random.Generator(numpy.random.MT19937()),
        'SFC64': numpy.random.Generator(numpy.random.SFC64()),
        'Philox': numpy.random.Generator(numpy.random.Philox()),
        'spawned': numpy.random.default_rng(sequence.spawn(1)[0]),
    }
    chance['RandomState'].standard_normal()  # and keeps a second one
    fixed = {
        'random.Random': random.Random(5), 'default_rng': numpy.random.default_rng(5),
        'long seed': numpy.random.default_rng(0x87351080e25cb0fad77a44a3be03b491),
        'RandomState': numpy.random.RandomState(5), 'seeded later': random.Random(),
    }
    fixed['seeded later'].seed(7)
    def draw(generators):
        found = {f'{name}, normal': float(each.standard_normal()) for name, each in generators.items()
                 if hasattr(each, 'standard_normal')}
        return found | {name: float(each.random()) for name, each in generators.items()}
    def deal():
        later = float(numpy.random.default_rng(sequence.spawn(1)[0]).random())
        last = float(chance['default_rng'].bit_generator.seed_seq.spawn(1)[0].generate_state(1)[0])
        raw = int(chance['MT19937'].bit_generator.random_raw())
        return draw(chance) | {'raw': raw, 'spawned later': later, 'spawned by a generator': last}
""")


@pytest.mark.timeout(300)
@pytest.mark.long
def test_chance_of_packages_is_distinct_in_300_kernels(begin: Begin, start: Start, environment: Path) -> None:
    """What was seeded on purpose stays as it was seeded."""
    (environment / "dealer.py").write_text(DEALER)
    nursery = begin("--python", python_of(environment), "--import", "dealer", "--without", "rehearse")
    drawn: dict[str, list[float]] = {}
    fixed = []
    named = {"PUPITRE_PYTHON": python_of(environment)}
    for _ in range(COUNT // AT_ONCE):
        together = [start(nursery, wait=False, cold=True, env=named) for _ in range(AT_ONCE)]
        for kernel in together:
            client = kernel.client()
            client.ok("import dealer")
            born_in_nursery(kernel)
            for name, value in client.evaluate("dealer.deal()").items():
                drawn.setdefault(name, []).append(value)
            fixed.append(client.evaluate("dealer.draw(dealer.fixed)"))
        for kernel in together:
            kernel.close()
    distinct = {name: len(set(values)) for name, values in drawn.items()}
    assert len(distinct) >= 15 and distinct == dict.fromkeys(distinct, COUNT)
    assert all(each == fixed[0] for each in fixed) and fixed[0]["random.Random"] == 0.6229016948897019
