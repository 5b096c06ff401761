import pytest

from plinth.cache.client import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, seconds=5, clock=clock)


def test_it_opens_with_the_last_failure_of_a_row_and_says_so_once(breaker: Breaker) -> None:
    assert [breaker.fail() for _ in range(5)] == [False, False, True, False, False]
    assert not breaker.allows()


def test_a_success_in_between_begins_a_new_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.fail()
    breaker.succeed()
    for _ in range(2):
        breaker.fail()
    assert breaker.allows()


def test_after_its_time_one_may_try_and_the_others_still_wait(
    breaker: Breaker, clock: Clock
) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_the_one_that_tried_closes_it_or_leaves_it_open(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now += 5
    assert breaker.allows()
    breaker.fail()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()
    breaker.succeed()
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_one_that_never_came_back_does_not_keep_it_open(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now += 5
    assert breaker.allows()  # and is cancelled
    clock.now += 5
    assert breaker.allows()
