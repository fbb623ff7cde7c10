# SPDX-License-Identifier: BSD-3-Clause
"""Chance and identity that no two kernels may share.

Generators of random numbers that packages made in the template would draw the same in every worker. All that the
garbage collector reaches are remembered, but for those that somebody seeded on purpose, and each worker seeds them.
"""

import _random
import gc
import os
import random
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, count
from types import ModuleType
from typing import Any
from weakref import WeakSet

_SEED = "seed"
_SIGNS = ("random", "getrandbits", "getstate", "get_state", "random_raw", "randint", "randbytes")  # beside it

_on_purpose: "WeakSet[random.Random]" = WeakSet()  # of Python's own kind
_drawn: set[int] = set()  # what numpy's seed sequences took from the system
_renew: list[Callable[[], object]] = []  # in this order
_seed, _randbits = random.Random.seed, secrets.randbits


def watch() -> None:
    """In the template, before packages are imported: remember from now on who was seeded, and with what."""
    random.Random.seed = seed  # type: ignore[method-assign]
    secrets.randbits = randbits


def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """random.Random.seed while packages are imported."""
    (_on_purpose.discard if a is None else _on_purpose.add)(self)
    _seed(self, a, version)


def randbits(k: int) -> int:
    """secrets.randbits while packages are imported: with it numpy seeds what nobody seeds."""
    number = _randbits(k)
    _drawn.add(number)
    return number


def settle() -> None:
    """In the template, when everything is imported and rehearsed: find what a worker has to seed."""
    random.Random.seed, secrets.randbits = _seed, _randbits  # type: ignore[method-assign]
    ours = randbits  # which is a name of this module's, too
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):  # and loads nothing that waits to be looked at
            names = object.__getattribute__(module, "__dict__")
            if names.get("randbits") is ours:
                names["randbits"] = _randbits
    found = [each for each in _generators() if not _is_global(each)]
    for each in found:
        if _is_numpys(each, "RandomState") and _renewal_of(each._bit_generator):
            each.set_state({**each.get_state(legacy=False), "has_gauss": 0, "gauss": 0.0})  # or it draws that first
    sequences = [
        partial(_renew_sequence, each) for each in found if _is_numpys(each, "SeedSequence") and _is_chance(each)
    ]
    rest = [renewal for each in found if (renewal := _renewal_of(each)) is not None]
    _renew[:] = [*sequences, *rest]


def _generators() -> Iterator[Any]:
    """Whatever draws random numbers, as far as the collector reaches, each once."""
    kinds: dict[type, bool] = {}
    seen: set[int] = set()
    objects = gc.get_objects()
    for each in chain(objects, _referents(objects)):
        kind = type(each)
        draws = kinds.get(kind)
        if draws is None:
            draws = kinds[kind] = _draws(kind)
        if draws and id(each) not in seen:
            seen.add(id(each))
            yield each


def _referents(objects: list[Any]) -> Iterator[Any]:
    for at in range(0, len(objects), 4096):
        yield from gc.get_referents(*objects[at : at + 4096])


def _draws(kind: type) -> bool:
    """Whether objects of this class are generators, by what they can do: of the next library, too."""
    if issubclass(kind, (type, ModuleType, random.SystemRandom)):
        return False
    if kind.__module__.startswith("numpy.random."):
        return kind.__name__ in ("SeedSequence", "RandomState") or any(
            base.__name__ == "BitGenerator" for base in kind.__mro__
        )
    known = dir(kind) if issubclass(kind, _random.Random) else _names_of(kind.__mro__)
    return _SEED in known and any(sign in known for sign in _SIGNS)


def _names_of(classes: Iterable[type]) -> set[str]:
    """Without a look at what computes its attributes."""
    return {name for each in classes for name in type.__getattribute__(each, "__dict__")}


def _is_numpys(each: Any, name: str) -> bool:
    return type(each).__name__ == name and type(each).__module__.startswith("numpy.random.")


def _is_global(each: Any) -> bool:
    """Whether it is one that reseed(), or Python, knows by its name."""
    owner = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    bits = getattr(owner, "_bit_generator", None)
    return any(each is known for known in (random._inst, owner, bits, getattr(bits, "_seed_seq", None)))


def _is_chance(sequence: Any) -> bool:
    return isinstance(sequence.entropy, int) and sequence.entropy in _drawn


def _renewal_of(each: Any) -> Callable[[], object] | None:
    """What seeds it anew. None for one that was seeded on purpose, or that looks after itself."""
    if type(each).__module__.startswith("numpy.random."):
        sequence = getattr(each, "_seed_seq", None)
        is_chance = sequence is not None and _is_numpys(sequence, "SeedSequence") and _is_chance(sequence)
        return partial(_renew_bits, each) if is_chance else None
    if isinstance(each, random.Random) and each in _on_purpose:
        return None
    return partial(_renew_any, each)


def _renew_sequence(sequence: Any) -> None:
    sequence.__init__(
        spawn_key=sequence.spawn_key, pool_size=sequence.pool_size, n_children_spawned=sequence.n_children_spawned
    )


def _renew_bits(generator: Any) -> None:
    generator.state = type(generator)(generator._seed_seq).state


def _renew_any(generator: Any) -> None:
    with suppress(Exception):
        generator.seed()


def reseed() -> None:
    """In a worker. `random` itself and OpenSSL look after themselves."""
    for renew in _renew:
        renew()
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        # All of the state from the system: numpy.random.seed() stretches less to as much, at several times the cost.
        numpy.random.set_state(("MT19937", numpy.frombuffer(os.urandom(2496), numpy.uint32), 624))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._last_timestamp = None  # type: ignore[attr-defined]
    _reset_multiprocessing()


def _reset_multiprocessing() -> None:
    """The process that it thinks it is, its key, and its helpers, which are the template's."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        main = type(process.current_process())  # the module deletes its name
        process._current_process = main()  # type: ignore[attr-defined]
        process._process_counter = count(1)  # type: ignore[attr-defined]
        process._children = set()  # type: ignore[attr-defined]
        process.ORIGINAL_DIR = _directory()  # type: ignore[attr-defined]
    for name, helper in (("resource_tracker", "_resource_tracker"), ("forkserver", "_forkserver")):
        module = sys.modules.get(f"multiprocessing.{name}")
        if module is not None:
            getattr(module, helper).__init__()


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
