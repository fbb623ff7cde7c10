# SPDX-License-Identifier: BSD-3-Clause
"""spec O and G: the history database, when all goes well and when it does not."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake import door
from harness import Engine
from pupitre import history, parent
from pupitre.history import HistoryManager
from pupitre.pause import Pause


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def make(engine: Engine, place: Path) -> Iterator[Any]:
    made: list[HistoryManager] = []
    engine.kernel.newest_cell = parent.NOBODY  # one that ran before

    def manager() -> HistoryManager:
        made.append(HistoryManager(shell=engine.shell, hist_file=str(place)))
        made[-1].hist_file = place
        return made[-1]

    yield manager
    for one in made:
        one.close()


def rows(place: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(place) as connection:
        return connection.execute("select session, line, source_raw from history order by session, line").fetchall()


def told() -> list[str]:
    return [frame[3][4].decode() for frame in door.sent if frame[0] == door.PUBLISH]


def test_no_thread(make: Any) -> None:
    before = threading.active_count()
    manager = make()
    manager.store_inputs(1, "x")
    manager.writeout_cache()
    assert threading.active_count() == before and manager.save_thread is None


def test_database_is_opened_by_the_first_write(make: Any, place: Path) -> None:
    manager = make()
    manager.store_inputs(1, "x = 1")
    assert not place.exists() and not manager.opened
    manager.writeout_cache()
    assert rows(place) == [(1, 1, "x = 1")] and not manager.has_unwritten
    manager.end_session()
    with sqlite3.connect(place) as connection:
        assert connection.execute("select num_cmds from sessions").fetchall() == [(1,)]


def test_what_sqlite_keeps_is_given_back(make: Any, place: Path) -> None:
    manager = make()
    manager.give_back()
    assert not place.exists() and not manager.opened
    for number in (1, 2):
        manager.store_inputs(number, f"x = {number}")
        manager.writeout_cache()
        manager.give_back()
        assert not manager.db.in_transaction
    assert rows(place) == [(1, 1, "x = 1"), (1, 2, "x = 2")]
    assert [source for _, _, source in manager.get_tail(2, include_latest=True)] == ["x = 1", "x = 2"]


def test_reading_the_session_number_opens_it(make: Any, place: Path) -> None:
    assert make().session_number == 1
    assert make().session_number == 2


def test_a_session_without_cells_leaves_no_trace(make: Any, place: Path) -> None:
    make().end_session()
    assert not place.exists()


def test_half_an_emoji(make: Any, place: Path) -> None:
    manager = make()
    manager.store_inputs(1, "'\ud83d'")
    manager.writeout_cache()
    assert rows(place) == [(1, 1, "'?'")] and told() == []


def test_locked_database(make: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BUSY_TIMEOUT", 0.01)
    manager = make()
    assert manager.session_number == 1
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    manager.store_inputs(1, "a")
    manager.writeout_cache()
    assert manager.has_unwritten and told() == []
    other.execute("ROLLBACK")
    other.close()
    manager.store_inputs(2, "b")
    manager.writeout_cache()
    assert [row[2] for row in rows(place)] == ["a", "b"]


def test_database_that_stays_locked(make: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BUSY_TIMEOUT", 0.01)
    manager = make()
    assert manager.session_number == 1
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for line in range(1, 8):
        manager.store_inputs(line, f"cell {line}")
        manager.writeout_cache()
    other.close()
    assert len(told()) == 1 and "memory" in told()[0]
    assert [row[2] for row in manager.get_tail(10, include_latest=True)] == [f"cell {line}" for line in range(1, 8)]
    assert rows(place) == [] and list(place.parent.iterdir()) == [place]


def test_locked_when_it_is_opened(make: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BUSY_TIMEOUT", 0.01)
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("create table t (x)")
    other.execute("BEGIN EXCLUSIVE")
    manager = make()
    manager.store_inputs(1, "a")
    manager.writeout_cache()
    other.close()
    assert manager.hist_file == ":memory:" and len(told()) == 1
    assert list(place.parent.iterdir()) == [place]


def test_damaged_database_is_moved_aside_by_ipython(make: Any, place: Path) -> None:
    place.write_bytes(b"this is no database" * 100)
    manager = make()
    manager.store_inputs(1, "a")
    manager.writeout_cache()
    assert rows(place) == [(1, 1, "a")]
    assert len(list(place.parent.glob("history-corrupt*"))) == 1


def test_directory_that_is_missing(make: Any, place: Path) -> None:
    manager = make()
    manager.hist_file = place.parent / "no" / "history.sqlite"
    manager.store_inputs(1, "a")
    manager.writeout_cache()
    assert manager.hist_file == ":memory:" and len(told()) == 1
    assert [row[2] for row in manager.get_tail(1, include_latest=True)] == ["a"]


def test_what_fails_before_the_first_cell_is_told_below_it(engine: Engine, make: Any, place: Path) -> None:
    """JupyterLab asks for the history when a notebook is opened, and shows nobody what belongs to that."""
    engine.kernel.newest_cell = None
    manager = make()
    manager.hist_file = place.parent / "no" / "history.sqlite"
    assert manager.session_number == 1 and manager.hist_file == ":memory:" and told() == []
    engine.ok("1")
    manager.writeout_cache()
    assert "memory" in told()[-1] and door.sent[-1][2] == engine.serial
    manager.writeout_cache()
    assert len([text for text in told() if "memory" in text]) == 1


def test_full_disk(make: Any, place: Path) -> None:
    manager = make()
    assert manager.session_number == 1
    manager.db.execute("PRAGMA max_page_count=1")
    manager.store_inputs(1, "x" * 100_000)
    manager.writeout_cache()
    assert manager.hist_file == ":memory:" and len(told()) == 1
    manager.store_inputs(2, "y")
    manager.writeout_cache()
    assert [row[1] for row in manager.get_tail(2, include_latest=True)] == [1, 2]


def test_turned_off(make: Any, place: Path) -> None:
    manager = make()
    manager.enabled = False
    manager.store_inputs(1, "a")
    manager.writeout_cache()
    assert not place.exists() and told() == []


def test_written_a_moment_after_the_cell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = engine.shell.history_manager
    unwritten: list[bool] = []
    while engine.kernel.writing._waits:  # for what an earlier test ran
        engine.run_for(0.1)

    def write() -> None:
        unwritten.append(manager.has_unwritten)
        engine.kernel._write_history()

    monkeypatch.setattr(engine.kernel.writing, "act", lambda: None)  # that of another test's cells may be due right now
    monkeypatch.setattr(engine.kernel, "writing", Pause(engine.kernel, 0.02, write))
    engine.ok("t_written = 1")
    engine.run_for(0.15)
    assert unwritten == [True]
    assert not manager.has_unwritten


def test_outputs_are_kept_within_bounds(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """For %notebook: the newest cells' text and results, as far as there is room; of long ones the plain text."""
    from pupitre import history

    monkeypatch.setattr(history, "OUTPUTS_MAX", 1000)
    monkeypatch.setattr(history, "OUTPUT_MAX", 400)
    manager = engine.shell.history_manager
    manager.outputs.clear()
    first = engine.ok("print('printed'); 'result'").one("execute_result")["execution_count"]
    kept = [(output.output_type, output.bundle) for output in manager.outputs[first]]
    assert kept == [("out_stream", {"stream": ["printed", "\n"]}), ("execute_result", {"text/plain": "'result'"})]
    engine.ok(
        "class Long:\n    def _repr_html_(self): return 'h' * 500\n    def __repr__(self): return 'plain'\n"
        "t_long = Long()"
    )
    last = engine.ok("t_long").one("execute_result")["execution_count"]
    assert [output.bundle for output in manager.outputs[last]] == [{"text/plain": "plain"}]
    for _ in range(30):
        engine.ok("print('x' * 90)")
    assert first not in manager.outputs
    texts = [text for outputs in manager.outputs.values() for output in outputs for text in output.bundle["stream"]]
    assert 800 < sum(map(len, texts)) <= 1000
    before = str(manager.outputs)
    engine.ok("print('not kept'); 'this neither'", store_history=False)
    assert str(manager.outputs) == before
