# SPDX-License-Identifier: BSD-3-Clause
"""From what a kernel costs to how many fit, and how that is told."""

from __future__ import annotations

import pytest
from pupitre.nursery import chart
from pupitre.nursery.fit import KEPT, Fit, Machine, Report, cost_of, fit, is_disturbed
from pupitre.nursery.weigh import Lesson, Weight, family

ROOMY = Machine(total=20_000, available=11_000, reserve=1_000, tasks=10_000)


def weight(private: float, all_in: float, tables: float = 0.5, tasks: float = 4) -> Weight:
    return Weight(private, proportional=private + 10, tables=tables, all_in=all_in, tasks=tasks)


def test_cost_is_what_the_machine_lost_where_that_is_more_than_the_processes_show() -> None:
    assert cost_of(weight(4.0, all_in=6.0)) == 6.0


def test_cost_is_never_less_than_what_the_processes_show() -> None:
    assert cost_of(weight(4.0, all_in=1.0)) == 4.0 + 0.5 + KEPT


def test_cost_leaves_out_what_other_programs_took_meanwhile() -> None:
    assert cost_of(weight(4.0, all_in=80.0)) == 4.0 + 0.5 + KEPT
    assert is_disturbed(weight(4.0, all_in=80.0))


def test_memory_that_others_gave_back_is_noticed() -> None:
    assert is_disturbed(weight(4.0, all_in=-3.0))
    assert not is_disturbed(weight(4.0, all_in=5.5))


def test_students_are_room_by_cost() -> None:
    assert fit(ROOMY, weight(9.0, all_in=10.0)) == Fit(1_000, "memory")


def test_a_nursery_that_is_not_there_yet_and_a_server_for_each_count() -> None:
    assert fit(ROOMY, weight(9.0, all_in=10.0), fixed=200.0) == Fit(980, "memory")
    assert fit(ROOMY, weight(9.0, all_in=10.0), extra=40.0) == Fit(200, "memory")


def test_processes_may_end_before_memory_does() -> None:
    assert fit(ROOMY, weight(0.1, all_in=0.8, tables=0.1, tasks=4)) == Fit(2_500, "processes")


def test_nothing_fits_into_the_reserve() -> None:
    assert fit(Machine(2_000, 400, 512, 100), weight(9.0, all_in=10.0)).count == 0


def test_a_family_is_everything_below_its_roots_once_parents_first() -> None:
    parent_of = {2: 1, 3: 2, 4: 3, 5: 1, 9: 8}
    assert family([2, 3], parent_of) == [2, 3, 4]
    assert family([1], parent_of) == [1, 2, 5, 3, 4]


@pytest.fixture
def report() -> Report:
    ours = Lesson("Pupitre", {"ready": weight(1.0, 2.5), "10 cells": weight(4.0, 6.0), "csv": weight(16.0, 20.0)})
    peer = Lesson(
        "ipykernel", {"ready": weight(35.0, 38.0), "10 cells": weight(88.0, 92.0), "csv": weight(115.0, -9.0)}
    )
    peer.failed, peer.cells = ["import pandas: ModuleNotFoundError: No module named 'pandas'"], 20
    return Report(ROOMY, kernels=5, nursery="a private one", fixed=160.0, extra=0.0, lessons=[ours, peer])


def test_only_our_column_pays_for_the_nursery(report: Report) -> None:
    ours, peer = report.lessons
    assert report.fits(ours, "10 cells").count == int((10_000 - 160) / 6.0)
    assert report.fits(peer, "10 cells").count == int(10_000 / 92.0)


def test_the_text_tells_all_three_sizes_the_failed_cells_and_the_students(report: Report) -> None:
    said = "\n".join(chart.text(report))
    for words in ("4.0", "14.0", "6.0", "1 of 20 cells failed", "No module named 'pandas'", "1,640", "108"):
        assert words in said
    assert said.isascii()
    assert all(len(line) <= 120 for line in said.splitlines())


def test_bars_are_in_proportion_and_none_is_invisible(report: Report) -> None:
    lines = [line for line in chart.text(report) if "#" in line]
    assert len(lines) == 6
    assert lines[-1].count("#") == chart.BAR  # the longest
    assert lines[0].count("#") == 1
    assert lines[3].count("#") == pytest.approx(chart.BAR * 88 / 115, abs=1)


def test_json_has_a_figure_for_each_stage_of_each(report: Report) -> None:
    found = report.as_json()["contestants"]
    assert [one["name"] for one in found] == ["Pupitre", "ipykernel"]
    assert found[0]["stages"]["csv"]["private_mb"] == 16.0
    assert found[1]["stages"]["csv"]["disturbed"] is True
    assert found[0]["stages"]["10 cells"]["fit"] == 1640
