"""The time limit of an answer: with signals, without them, and in a thread of its own."""

from __future__ import annotations

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lora_lessons.course.checks import core, limits
from lora_lessons.course.checks.core import RIGHT, WRONG, Exercise, run_check
from lora_lessons.course.checks.limits import TooSlow, time_limit, without_limit


@pytest.fixture(params=["signals", "no signals", "another thread"])
def way(request, monkeypatch):
    """Each way in which a limit can be kept: a function that calls another in that way."""
    if request.param == "no signals":
        monkeypatch.delattr(signal, "setitimer", raising=False)
        monkeypatch.delattr(signal, "SIGALRM", raising=False)
    elif request.param == "signals" and not hasattr(signal, "setitimer"):
        pytest.skip("no signals on this system")
    if request.param == "another thread":
        with ThreadPoolExecutor(1) as pool:
            yield lambda work: pool.submit(work).result(timeout=60)
    else:
        yield lambda work: work()
    timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)  # cancelled


def endless():
    while True:
        try:
            time.monotonic()
        except Exception:  # a learner's own, which must not stop the limit
            continue


def test_an_endless_loop_ends_with_its_seconds(way):
    def work():
        with time_limit(0.2):
            endless()

    started = time.monotonic()
    with pytest.raises(TooSlow, match=r"more than 0\.2 s\. Is there an endless loop\?"):
        way(work)
    assert time.monotonic() - started < 30


def test_a_loop_that_ends_in_time_is_left_alone_and_nothing_rings_later(way):
    def work():
        with time_limit(0.3):
            done = sum(range(1000))
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass
        return done

    assert way(work) == 499500


def test_what_has_a_limit_of_its_own_does_not_count(way):
    def work():
        with time_limit(0.4):
            with without_limit():
                until = time.monotonic() + 0.8
                while time.monotonic() < until:
                    pass
            said = "not counted"
            endless_from = time.monotonic()
            try:
                endless()
            except TooSlow:
                return said, time.monotonic() - endless_from

    said, seconds = way(work)
    assert said == "not counted" and seconds > 0.1  # what was left of the 0.4 s


def test_an_error_of_the_answer_stays_that_error(way):
    def work():
        with time_limit(5):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        way(work)


def test_a_check_says_so_and_the_next_one_runs(way, monkeypatch):
    monkeypatch.setattr(core, "SECONDS_AT_MOST", 0.2)
    double = Exercise("task", "9.9 A task", 1, 1, ("a", "b", "c"), lambda answer, rng: answer())
    verdict = way(lambda: run_check(double, endless))
    assert verdict.outcome == WRONG and "endless loop" in verdict.message
    assert way(lambda: run_check(double, lambda: 1)).outcome == RIGHT


@pytest.mark.parametrize("recalled", [True, False])
def test_an_exception_on_its_way_can_be_recalled(recalled):
    """It is on its way while the work is in C; after it, it must not come."""
    here = threading.Event()

    def work():
        here.set()
        time.sleep(0.5)
        return sum(range(1000))

    def send(thread):
        here.wait()
        time.sleep(0.1)
        limits._raise_in(thread, TooSlow)
        if recalled:
            limits._raise_in(thread, limits._Recalled)

    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.get_ident).result()
        done = pool.submit(work)
        send(thread)
        with pytest.raises(limits._Recalled if recalled else TooSlow):
            done.result()


def test_nothing_is_on_its_way_after_a_recall():
    """Under a profiler too, which is where a flag that is left over would make Python hang."""
    before, seen = sys.getprofile(), []
    limits._recall(threading.get_ident())
    sys.setprofile(lambda frame, event, what: seen.append(event))
    try:
        (lambda: 1)()
    finally:
        sys.setprofile(before)
    assert seen.count("call") == 1
