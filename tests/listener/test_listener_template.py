# SPDX-License-Identifier: BSD-3-Clause
"""Templates: built, unfit, dead, hanging, stale, replaced; and what remains when the listener goes."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from listener import Front, Listener, eventually, has_ended
from messages import DEADLINE, TEMPLATES_MAX, Op

BUILDING, READY, OLD, UNFIT = 1, 2, 3, 4
ORDER_DEADLINE = 10  # seconds: kernel/nursery/listener/listener.h


def states(listener: Listener) -> list[int]:
    return [state for _, state, *_ in listener.status().templates]


def template_pid(listener: Listener) -> int:
    return next(pid for pid, state, *_ in listener.status().templates if state == READY)


def refusal(listener: Listener) -> str:
    with listener.front() as front:
        front.request()
        return front.refusal()


def new_template(listener: Listener, than: int) -> int:
    """The pid of one that is ready and another."""
    return eventually(lambda: [p for p, s, *_ in listener.status().templates if s == READY and p != than])[0]


def test_status_of_a_ready_one(per_user: Listener) -> None:
    with per_user.started():
        [(pid, state, forks, text)] = per_user.status().templates
        assert (state, forks, text) == (READY, 1, f"fingerprint {pid}")


def test_trouble_of_the_moment(folder: Path) -> None:
    """It is tried again, later each time, until it works."""
    (folder / "unfit").write_text("0 no space left\n\x1b[31mred")
    with Listener(folder, ready=False) as listener:
        eventually(lambda: len(listener.events("start")) == 4)
        eventually(lambda: states(listener) == [UNFIT])
        assert listener.status().templates[0][3] == "no space left??[31mred"
        assert refusal(listener) == "NOT_READY"
        assert "\x1b" not in listener.log() and listener.log().count("event=template_unfit") == 4
        listener.forget("unfit")
        listener.wait_ready()
        with listener.started():
            pass


def test_a_mistake(folder: Path) -> None:
    """What no time mends is said once, and ends the nursery."""
    (folder / "unfit").write_text("2 cannot import nothing")
    with Listener(folder, ready=False) as listener:
        assert listener.process.wait(DEADLINE) == 2
        assert listener.log().count("cannot import nothing") == len(listener.events("start")) == 1
        assert not listener.path.exists()


def test_a_mistake_after_it_was_ready(per_user: Listener) -> None:
    """A package may be half written: what is there goes on, or what was there is tried again."""
    pid = template_pid(per_user)
    per_user.behave("unfit", "2 cannot import pandas")
    per_user.command(Op.RELOAD)
    eventually(lambda: sorted(states(per_user)) == [READY, UNFIT])
    assert template_pid(per_user) == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: states(per_user) == [UNFIT])
    per_user.forget("unfit")
    new_template(per_user, pid)


def test_dies_while_it_is_built(folder: Path) -> None:
    (folder / "die-building").touch()
    with Listener(folder, ready=False) as listener:
        eventually(lambda: len(listener.events("start")) == 2)
        listener.forget("die-building")
        listener.wait_ready()


def test_no_such_program(folder: Path) -> None:
    with Listener(folder, template="/nowhere/pupitre-template", ready=False) as listener:
        eventually(lambda: listener.log().count("event=template_ended") >= 2)
        assert refusal(listener) == "NOT_READY"


def test_no_such_python(folder: Path) -> None:
    with Listener(folder, python="/nowhere/python3", ready=False) as listener:
        eventually(lambda: listener.log().count("event=template_build pid=-1") >= 2)
        with listener.front() as front:
            front.request()
            assert front.refusal() == "NOT_READY"


def test_dies_with_an_order(per_user: Listener) -> None:
    pid = template_pid(per_user)
    per_user.behave("die-ordered")
    with per_user.front() as first:
        first.request()
        first.expect(Op.QUEUED)
        assert first.refusal() == "TEMPLATE_DIED"
    per_user.forget("die-ordered")
    new_template(per_user, pid)
    with per_user.started():
        pass


def test_workers_outlive_their_template(per_user: Listener) -> None:
    before = per_user.fds()
    with per_user.started() as front, per_user.started() as other:
        pid = template_pid(per_user)
        os.kill(pid, signal.SIGKILL)
        new_template(per_user, pid)
        assert not has_ended(front.pidfd, 0)
        assert per_user.status().live == 2
        # How it ends nobody can tell now, but that it did.
        os.kill(front.pid, signal.SIGUSR1)
        assert front.answer() is None
        eventually(lambda: per_user.status().live == 1)
        # A front that goes takes its worker with it all the same.
        pidfd = os.dup(other.pidfd)
        other.close()
        assert has_ended(pidfd)
        os.close(pidfd)
        eventually(lambda: per_user.status().live == 0)
    eventually(lambda: per_user.fds() == before)


def test_worker_that_ended_before_its_template_did(per_user: Listener) -> None:
    """The template was stopped, and then died, before it could tell."""
    with per_user.started() as front:
        pid = template_pid(per_user)
        os.kill(pid, signal.SIGSTOP)
        os.kill(front.pid, signal.SIGKILL)
        assert has_ended(front.pidfd)
        assert per_user.status().live == 1
        os.kill(pid, signal.SIGKILL)
        assert front.answer() is None
        assert per_user.status().live == 0


def test_talks_nonsense(per_user: Listener) -> None:
    pid = template_pid(per_user)
    pidfd = os.pidfd_open(pid)
    per_user.behave("nonsense")
    with per_user.front() as front:
        front.request()
        front.expect(Op.QUEUED)
        assert front.refusal() == "TEMPLATE_DIED"
    assert has_ended(pidfd)
    os.close(pidfd)
    per_user.forget("nonsense")
    new_template(per_user, pid)


@pytest.mark.timeout(60)
def test_hangs(per_user: Listener) -> None:
    """It is killed; those that wait are told, and whoever comes while it hangs is, too."""
    per_user.behave("hang")
    pid = template_pid(per_user)
    with per_user.front() as first, per_user.front() as second:
        for front in (first, second):
            front.sock.settimeout(ORDER_DEADLINE + DEADLINE)
            front.request()
            front.expect(Op.QUEUED)
        eventually(lambda: per_user.events("hangs"), "the first order")
        per_user.forget("hang")
        assert first.refusal() == "TEMPLATE_DIED"
        assert second.refusal() == "NOT_READY"
    assert "event=template_hangs" in per_user.log()
    new_template(per_user, pid)


def test_stale(per_user: Listener) -> None:
    """It forks no more, and another is built at once."""
    with per_user.started() as worker:
        pid = template_pid(per_user)
        per_user.behave("stale")
        with per_user.front() as front:
            front.request()
            front.expect(Op.QUEUED)
            assert front.refusal() == "STALE"
        per_user.forget("stale")
        new_template(per_user, pid)
        assert sorted(states(per_user)) == [READY, OLD]
        with per_user.started():
            pass
        os.kill(worker.pid, signal.SIGUSR1)
        assert os.waitstatus_to_exitcode(worker.expect(Op.CHANGED).status) == 7
    eventually(lambda: states(per_user) == [READY])


def test_reload(per_user: Listener) -> None:
    """The old one forks until the new one is ready, and tells how its workers end."""
    os.mkfifo(per_user.folder / "slow")
    with per_user.started() as first:
        old = template_pid(per_user)
        pidfd = os.pidfd_open(old)
        assert per_user.command(Op.RELOAD).op == Op.DONE
        assert per_user.command(Op.RELOAD).op == Op.DONE  # one at a time is built
        eventually(lambda: len(per_user.events("start")) == 2)
        assert sorted(states(per_user)) == [BUILDING, READY]
        with per_user.started() as second:
            assert per_user.events("order")[-1]["pid"] == old
            (per_user.folder / "slow").write_bytes(b"x")
            new = new_template(per_user, old)
            with per_user.started():
                assert per_user.events("order")[-1]["pid"] == new
            for front in (first, second):
                assert not has_ended(pidfd, 0)
                os.kill(front.pid, signal.SIGUSR1)
                assert os.waitstatus_to_exitcode(front.expect(Op.CHANGED).status) == 7
    assert has_ended(pidfd)
    os.close(pidfd)
    eventually(lambda: states(per_user) == [READY])
    assert len(per_user.events("start")) == 2


def test_reload_that_does_not_work(per_user: Listener) -> None:
    """The old one stays."""
    pid = template_pid(per_user)
    per_user.behave("unfit", "0 no")
    per_user.command(Op.RELOAD)
    eventually(lambda: sorted(states(per_user)) == [READY, UNFIT])
    assert template_pid(per_user) == pid
    with per_user.started():
        pass


def test_many_reloads(per_user: Listener) -> None:
    """Of old ones only so many are listened to; their workers live on."""
    before = per_user.fds()
    with contextlib.ExitStack() as stack:
        fronts = []
        for _ in range(TEMPLATES_MAX + 3):
            fronts.append(stack.enter_context(per_user.started()))
            pid = template_pid(per_user)
            per_user.command(Op.RELOAD)
            new_template(per_user, pid)
        assert sorted(states(per_user)) == [READY] + [OLD] * (TEMPLATES_MAX - 1)
        assert per_user.status().live == len(fronts)
        for i, front in enumerate(fronts):
            os.kill(front.pid, signal.SIGUSR1)
            answer = front.answer()
            assert (answer is None) == (i < len(fronts) - TEMPLATES_MAX + 1)
    eventually(lambda: states(per_user) == [READY])
    eventually(lambda: per_user.fds() == before)


def test_drain(per_user: Listener) -> None:
    """Nobody new; the end comes with the last worker's."""
    with per_user.started() as front, per_user.started() as other:
        assert per_user.command(Op.DRAIN).op == Op.DONE
        assert per_user.status().draining
        assert refusal(per_user) == "DRAINING"
        os.kill(front.pid, signal.SIGUSR1)
        front.expect(Op.CHANGED)
        assert per_user.status().live == 1
        os.kill(other.pid, signal.SIGUSR1)
        other.expect(Op.CHANGED)
        assert per_user.process.wait(DEADLINE) == 0
        assert not per_user.path.exists()


def test_drain_serves_what_was_queued(per_user: Listener) -> None:
    per_user.hold()
    with per_user.front() as first, per_user.front() as second:
        for front in (first, second):
            front.request()
            front.expect(Op.QUEUED)
        per_user.command(Op.DRAIN)
        per_user.let_go()
        first.expect(Op.FORKED)
        second.expect(Op.FORKED)
    assert per_user.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_workers_outlive_the_listener(per_user: Listener, signum: int) -> None:
    with contextlib.ExitStack() as stack:
        fronts = [stack.enter_context(per_user.started()) for _ in range(5)]
        per_user.process.send_signal(signum)
        per_user.process.wait(DEADLINE)
        for front in fronts:
            assert front.answer() is None
            assert not has_ended(front.pidfd, 0)
        for front in fronts:
            os.kill(front.pid, signal.SIGKILL)


def test_template_is_reaped(per_user: Listener) -> None:
    """No zombies, of none of those that came and went."""
    for _ in range(3):
        pid = template_pid(per_user)
        per_user.command(Op.RELOAD)
        new_template(per_user, pid)
    eventually(lambda: states(per_user) == [READY])
    children = Path(f"/proc/{per_user.process.pid}/task/{per_user.process.pid}/children")
    eventually(lambda: children.read_text().split() == [str(template_pid(per_user))])


def test_every_stage_at_once_when_the_listener_is_killed(per_user: Listener) -> None:
    """Nobody waits for ever: all connections end."""
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(per_user.started())
        per_user.hold()
        fronts = [live]
        for _ in range(3):
            front: Front = stack.enter_context(per_user.front())
            front.request()
            front.expect(Op.QUEUED)
            fronts.append(front)
        fronts.append(stack.enter_context(per_user.front()))
        per_user.process.kill()
        for front in fronts:
            with contextlib.suppress(ConnectionResetError):  # it had said what nobody heard
                assert front.answer() is None
        os.kill(live.pid, signal.SIGKILL)
