"""The breach check with a correct, slow, silent or failing service."""

import asyncio
import logging

import pytest

from plinth.config import settings
from plinth.security import breaches
from tests.support.breached import (
    PADDING,
    Behave,
    breach_service,
    digest_of,
    dripping,
    hanging_up,
    knowing,
    saying,
    silent,
)
from tests.support.command import find_free_port
from tests.support.waiting import until

LOST, FRESH = "Correct-Horse-Battery-7", "Other-Horse-Battery-8"


async def ask(behave: Behave, monkeypatch: pytest.MonkeyPatch, password: str = LOST) -> bool:
    with breach_service(behave) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        return await breaches.contain(password)


async def test_breached_password_is_found_and_another_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ask(knowing(LOST), monkeypatch)
    assert await ask(knowing(LOST, end="\n"), monkeypatch)
    assert not await ask(knowing(LOST), monkeypatch, FRESH)
    assert not await ask(saying(b""), monkeypatch)
    assert not caplog.records


async def test_only_five_digits_of_the_hash_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with breach_service(knowing(LOST)) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        await breaches.contain(LOST)
        assert service.asked == [f"/range/{digest_of(LOST)[:5]}"]
        assert service.headers[0]["Add-Padding"] == "true"
        assert set(service.headers[0]) <= {
            "Host", "User-Agent", "Add-Padding", "Accept-Encoding", "Connection",
        }  # fmt: skip


async def test_entry_with_count_zero_is_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await ask(knowing(LOST, times=0), monkeypatch)


async def test_password_is_normalized_before_the_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ask(knowing("Café-Horse-7"), monkeypatch, "Cafe\u0301-Horse-7")


async def test_check_is_skipped_without_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.BREACH_CHECK_URL is None
    with breach_service(knowing(LOST)) as service:
        assert not await breaches.contain(LOST)
        assert service.asked == []


FOUND = f"{digest_of(LOST)[5:]}:3".encode()


@pytest.mark.parametrize(
    "behave",
    [
        saying(FOUND, 500),
        saying(FOUND, 404),
        saying(FOUND, 429),
        saying(b"<html><body>Sign in to the hotel's network</body></html>"),
        saying(b"\xff\xfe\x00"),
        saying(FOUND[:-1]),
        saying(FOUND[1:]),
        saying(FOUND + b"\r\n" + b"x" * 40),
        saying(FOUND, declared=len(FOUND) + 1),
        saying((PADDING.encode() + b"0:0\r\n") * 40_000),
        hanging_up,
    ],
    ids=range(11),
)
async def test_invalid_response_accepts_the_password_and_is_logged(
    behave: Behave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await ask(behave, monkeypatch)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    digest = digest_of(LOST)
    assert not [told for told in (LOST, digest[:5], digest[5:]) if told in caplog.text]


@pytest.mark.parametrize("behave", [silent, dripping])
async def test_slow_response_times_out(
    behave: Behave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service does not respond before the test ends, so a return proves the timeout."""
    monkeypatch.setattr(breaches, "TIMEOUT_SECONDS", 0.3)
    with breach_service(behave) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        assert not await breaches.contain(LOST)
        assert service.asked
    assert len(caplog.records) == 1
    await until(lambda: breaches._free._value == breaches.MAX_CONCURRENT)  # noqa: SLF001


async def test_unreachable_service_accepts_the_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{find_free_port()}/range/"
    monkeypatch.setattr(settings, "BREACH_CHECK_URL", url)
    assert not await breaches.contain(LOST)
    assert "Connection refused" in caplog.text


async def test_requests_beyond_max_concurrent_skip_the_check(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A hanging service must not build up a queue."""
    monkeypatch.setattr(breaches, "TIMEOUT_SECONDS", 0.8)
    with breach_service(silent) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        found = await asyncio.gather(*(breaches.contain(LOST) for _ in range(30)))
        await until(lambda: len(service.asked) == breaches.MAX_CONCURRENT)
    assert found == [False] * 30
    assert caplog.text.count("too many concurrent checks") == 30 - breaches.MAX_CONCURRENT
    await until(lambda: breaches._free._value == breaches.MAX_CONCURRENT)  # noqa: SLF001


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "example.com"])
def test_only_http_urls_are_accepted(url: str) -> None:
    with pytest.raises(ValueError, match="BREACH_CHECK_URL"):
        type(settings)(BREACH_CHECK_URL=url)
