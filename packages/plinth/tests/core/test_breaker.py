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


def test_breaker_opens_after_consecutive_failures_and_reports_it_once(breaker: Breaker) -> None:
    assert [breaker.fail() for _ in range(5)] == [False, False, True, False, False]
    assert not breaker.allows()


def test_success_resets_the_failure_count(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.fail()
    breaker.succeed()
    for _ in range(2):
        breaker.fail()
    assert breaker.allows()


def test_half_open_breaker_permits_one_attempt(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_result_of_the_attempt_closes_or_reopens_the_breaker(
    breaker: Breaker, clock: Clock
) -> None:
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


def test_cancelled_attempt_does_not_keep_the_breaker_open(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now += 5
    assert breaker.allows()  # and is cancelled
    clock.now += 5
    assert breaker.allows()
