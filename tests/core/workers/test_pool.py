import threading
import time

import pytest
import torch
from joint_diffusion.core.workers import pool as pool_file
from joint_diffusion.core.workers.pool import AHEAD, AT_ONCE, Lost, Pool, at_work


def squares(pool, count, who=None, meanwhile=lambda number: None):
    """0, 1, 4, ...; `who` gets (number, worker) of all that was begun."""

    def work(number):
        if who is not None:
            who.append((number, at_work()))
        meanwhile(number)
        return number * number

    return list(pool.each(work, range(count)))


def test_answers_come_in_the_order_of_the_items_whoever_is_slow():
    who = []
    pool = Pool(lambda: ["a", "b"])
    answers = squares(pool, 40, who, lambda number: time.sleep(0.02 if number % 5 == 0 else 0.001))
    assert answers == [number * number for number in range(40)]
    assert sorted(number for number, _ in who) == list(range(40))  # each once
    assert {worker for _, worker in who} == {None, "a", "b"}


def test_without_workers_it_is_map():
    who = []
    assert squares(Pool(list), 3, who) == [0, 1, 4]
    assert who == [(0, None), (1, None), (2, None)]
    assert squares(Pool(lambda: ["a"]), 0) == []


def test_nobody_is_given_two_while_another_has_none():
    who = []
    squares(Pool(lambda: ["a"]), 2, who, lambda _: time.sleep(0.1))
    assert {worker for _, worker in who} == {None, "a"}


@pytest.mark.parametrize("dies_at", [0, 3, 11])
def test_what_a_lost_worker_had_is_done_by_another_and_nothing_is_lost(dies_at):
    who, lost = [], []

    def work(number):
        who.append((number, at_work()))
        time.sleep(0.005)
        if at_work() == "a" and (number >= dies_at or lost):
            lost.append(number)
            raise Lost("a")
        return number * number

    answers = list(Pool(lambda: ["a", "b"]).each(work, range(24)))
    assert answers == [number * number for number in range(24)]
    assert 1 <= len(lost) <= AT_ONCE  # and what it had done is not done again
    assert sorted(number for number, _ in who) == sorted([*range(24), *lost])


def test_if_all_are_lost_the_process_goes_on_alone():
    def work(number):
        time.sleep(0.002)
        if at_work() is not None:
            raise Lost(at_work())
        return number

    assert list(Pool(lambda: ["a", "b", "c"]).each(work, range(12))) == list(range(12))


def test_who_joins_midway_gets_work():
    there, who = ["a"], []

    def meanwhile(number):
        time.sleep(0.005)
        if number == 8:
            there.append("late")

    assert squares(Pool(lambda: list(there)), 60, who, meanwhile) == [number * number for number in range(60)]
    first = min(number for number, worker in who if worker == "late")
    assert first > 8


def test_one_who_is_much_slower_is_not_waited_for():
    """After its first batch it gets none that the others would have done before."""
    pool, who = Pool(lambda: ["slow"]), []

    def meanwhile(_):
        time.sleep(0.5 if at_work() == "slow" else 0.01)

    squares(pool, 3, None, meanwhile)
    begun = time.monotonic()
    squares(pool, 10, who, meanwhile)
    assert {worker for _, worker in who} == {None}
    assert time.monotonic() - begun < 0.45


def test_a_process_that_is_much_slower_than_its_workers_leaves_all_to_them():
    pool, who = Pool(lambda: ["a", "b"]), []

    def meanwhile(_):
        time.sleep(0.5 if at_work() is None else 0.01)

    squares(pool, 12, None, meanwhile)
    squares(pool, 12, who, meanwhile)
    assert None not in {worker for _, worker in who}


def test_a_clock_that_stands_still_for_a_batch(monkeypatch):
    """As the clocks of some machines do for 15 ms."""
    monkeypatch.setattr(pool_file, "perf_counter", lambda: 5.0)
    answers = squares(Pool(lambda: ["a"]), 12, None, lambda _: time.sleep(0.002))
    assert answers == [number * number for number in range(12)]


def test_only_so_many_answers_wait_in_memory():
    done, stuck = [], threading.Event()

    def work(number):
        if number == 0:
            stuck.wait(2)
        else:
            done.append(number)
            if len(done) == 2 * AHEAD - 1:
                threading.Timer(0.1, stuck.set).start()
        return number

    answers = Pool(lambda: ["a"]).each(work, range(100))
    assert next(answers) == 0
    assert max(done) < 2 * AHEAD + 4  # those of the moment at which the first one came
    assert list(answers) == list(range(1, 100))


def test_an_error_ends_it_and_nothing_begins_any_more():
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.01)
        if number == 2:
            raise ValueError("no")
        return number

    threads = threading.active_count()
    with pytest.raises(ValueError, match="no"):
        list(Pool(lambda: ["a", "b"]).each(work, range(100)))
    assert len(begun) < 20
    time.sleep(0.05)
    assert threading.active_count() == threads


def test_waiting_can_be_ended():
    """As by an interrupt: the process is done and waits for a worker."""

    class Enough(Exception):
        pass

    def work(number):
        if at_work() is None:
            while not begun.is_set():
                time.sleep(0.01)
        else:
            begun.set()
            time.sleep(0.6)
        return number

    def enough():
        raise Enough

    begun = threading.Event()
    with pytest.raises(Enough):
        list(Pool(lambda: ["a"], enough).each(work, range(2)))


def test_waiting_can_be_ended_when_a_worker_hangs(monkeypatch):
    """It is neither lost nor does it answer: its machine is suspended, or its GPU has stopped."""

    class Enough(Exception):
        pass

    def work(number):
        if at_work() is not None:
            hangs.set()
            goes_on.wait()
        return number

    def enough():
        if hangs.is_set():
            raise Enough

    def want_all():
        try:
            list(Pool(lambda: ["a"], enough).each(work, range(20)))
        except Enough:
            ended.append(True)

    monkeypatch.setattr(pool_file, "PATIENCE", 0.1)
    hangs, goes_on, ended = threading.Event(), threading.Event(), []
    waiting = threading.Thread(target=want_all, daemon=True)
    waiting.start()
    waiting.join(10)
    goes_on.set()
    assert ended


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_threads_work_in_the_mode_of_the_process(mode):
    def work(_):
        time.sleep(0.002)
        return at_work(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with mode():
        expected = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        answers = list(Pool(lambda: ["a"]).each(work, range(20)))
    assert {worker for worker, *_ in answers} == {None, "a"}
    assert {tuple(modes) for _, *modes in answers} == {expected}


def test_workers_go_on_after_they_were_too_far_ahead():
    """This process is slow, and so is who takes the answers: the worker has waited, and is needed."""

    def work(number):
        time.sleep(0.3 if at_work() is None else 0.002)
        return number

    def take_all():
        for answer in pool.each(work, range(20)):
            time.sleep(0.01)
            answers.append(answer)

    pool, answers = Pool(lambda: ["a"]), []
    for _ in range(2):  # only then it is known who is slow
        taker = threading.Thread(target=take_all, daemon=True)
        taker.start()
        taker.join(10)
        assert not taker.is_alive()
    assert answers == [*range(20), *range(20)]


def test_how_fast_a_lost_worker_was_is_forgotten():
    def work(number):
        time.sleep(0.005)
        if at_work() == "a" and number > 4:
            raise Lost("a")
        return number

    pool = Pool(lambda: ["a"])
    assert list(pool.each(work, range(20))) == list(range(20))
    assert set(pool.seconds) == {None}


def test_how_fast_a_worker_was_is_forgotten_also_if_it_ends_one_batch_after_it_was_lost_with_another():
    lost, begun = threading.Event(), threading.Barrier(2)

    def work(number):
        if at_work() is None:
            lost.wait(5)
        elif begun.wait(5):
            lost.set()
            raise Lost("a")
        else:
            lost.wait(5)
            time.sleep(0.2)
        return number

    pool = Pool(lambda: ["a"])
    assert list(pool.each(work, range(12))) == list(range(12))
    assert set(pool.seconds) == {None}
