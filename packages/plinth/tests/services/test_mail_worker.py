"""The mail worker with a real SMTP server: retries, failures, and no duplicates."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from plinth.accounts import queries
from plinth.accounts.services import outbox
from plinth.accounts.services.mail_worker import mail_worker
from plinth.cli.doctor import Level
from plinth.cli.doctor.mail import check_backlog
from plinth.config import settings
from plinth.db.database import Database
from tests.support.mail_server import Inbox, none_waits, serving_mail
from tests.support.waiting import PATIENCE, until

ANN = "ann@example.com"
Write = Callable[..., Awaitable[None]]


@pytest.fixture
def write(database: Database) -> Write:
    async def write(recipient: str = ANN, **context: object) -> None:
        async with database.transaction() as db:
            given = {"username": "ann", "page": "forgot-password"} | context
            await outbox.enqueue(db, "password_changed", recipient, **given)

    return write


async def one_row(second: asyncpg.Connection) -> asyncpg.Record:
    return await second.fetchrow("SELECT * FROM mails")


async def test_temporarily_refused_mail_is_retried(
    inbox: Inbox, write: Write, second: asyncpg.Connection
) -> None:
    inbox.at_rcpt[ANN] = ["451 try later"]
    inbox.at_data.append("452 no room")
    await write()
    letter = await inbox.next(ANN)
    await none_waits(second)
    row = await one_row(second)
    assert (row["attempts"], row["last_error"], row["sealed"]) == (3, None, None)
    assert str(row["id"]) in letter["Message-ID"]
    assert row["sent_at"] is not None


async def test_permanently_refused_mail_is_dead_and_reported_by_doctor(
    inbox: Inbox, write: Write, second: asyncpg.Connection, database: Database
) -> None:
    inbox.at_rcpt[ANN] = ["550 no such person\x07 here"]
    await write()
    await none_waits(second)
    row = await one_row(second)
    assert (row["attempts"], row["last_error"]) == (1, "550 no such person here")
    assert row["dead_at"] is not None
    async with database.transaction() as db:
        finding = check_backlog(await outbox.count(db))
    assert (finding.level, finding.text) == (Level.DOUBTFUL, "0 waiting, 1 failed")


async def test_non_ascii_address_is_dead_without_smtputf8(
    write: Write,
    database: Database,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "SMTP_HOST", "127.0.0.1")
    monkeypatch.setattr(settings, "SMTP_TLS", "none")
    with serving_mail(enable_SMTPUTF8=False) as inbox:
        monkeypatch.setattr(settings, "SMTP_PORT", inbox.port)
        async with mail_worker(database):
            await write("josé@example.com")
            await none_waits(second)
    row = await one_row(second)
    why = "the mail server does not support non-ASCII addresses (RFC 6531)"
    assert (row["attempts"], row["last_error"], inbox.tries) == (1, why, 0)


async def test_mail_is_dead_after_the_last_attempt(
    inbox: Inbox, write: Write, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAIL_MAX_ATTEMPTS", 3)
    inbox.at_rcpt[ANN] = ["451 try later"] * 9
    await write()
    await none_waits(second)
    assert (await one_row(second))["attempts"] == 3
    assert inbox.at_rcpt[ANN] == ["451 try later"] * 6


async def test_several_workers_send_each_mail_once(
    inbox: Inbox, write: Write, second: asyncpg.Connection, database: Database
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(mail_worker(database))
        await asyncio.gather(*(write(f"person{number}@example.com") for number in range(20)))
        await none_waits(second)
    assert inbox.tries == 20
    assert len({letter["To"] for letter in inbox.letters}) == 20


async def test_leased_mail_is_skipped_by_other_workers(write: Write, database: Database) -> None:
    await write("first@example.com")
    lease = timedelta(minutes=1)
    async with database.transaction() as one:
        (first,) = await queries.mail.lease(one, limit=1, duration=lease)
        await write("second@example.com")
        async with asyncio.timeout(PATIENCE), database.transaction() as other:
            (second,) = await queries.mail.lease(other, limit=5, duration=lease)
    assert (first.recipient, second.recipient) == ("first@example.com", "second@example.com")


async def test_rolled_back_transaction_sends_no_mail(
    inbox: Inbox, database: Database, write: Write
) -> None:
    with suppress(RuntimeError):
        async with database.transaction() as db:
            await outbox.enqueue(db, "password_changed", "undone@example.com", username="x")
            raise RuntimeError
    await write()
    await inbox.next(ANN)
    assert inbox.tries == 1


@pytest.mark.parametrize(
    ("context", "tampering", "error"),
    [
        ({"expires_at": 1}, "SELECT 1", "its link expired before it could be sent"),
        ({}, "UPDATE mails SET recipient = 'eve@example.com'", "encrypted with another"),
        ({}, "UPDATE mails SET sealed = set_byte(sealed, 20, 0)", "encrypted with another"),
        ({}, "UPDATE mails SET sealed = NULL", "its content was erased (mails.sealed is null)"),
        ({}, "UPDATE mails SET attempts = 8", "too many workers stopped while they were"),
    ],
)
async def test_expired_or_altered_mail_is_not_sent(
    write: Write,
    second: asyncpg.Connection,
    database: Database,
    context: dict[str, object],
    tampering: str,
    error: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await write(**context)
    await second.execute(tampering)
    with serving_mail() as server:
        use_server(monkeypatch, server.port)
        async with mail_worker(database):
            await none_waits(second)
    assert server.tries == 0
    row = await one_row(second)
    assert row["dead_at"] is not None
    assert row["last_error"].startswith(error)


async def test_mail_in_progress_is_finished_before_shutdown(
    write: Write, second: asyncpg.Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_mail(Inbox(hold=threading.Event())) as server:
        assert server.hold
        use_server(monkeypatch, server.port)
        await write()
        async with mail_worker(database):
            await until(lambda: server.tries == 1)
            asyncio.get_running_loop().call_later(0.1, server.hold.set)
    assert (await one_row(second))["sent_at"] is not None
    assert len(server.letters) == 1


async def test_slow_mail_server_gets_the_mail_once(
    write: Write, second: asyncpg.Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SMTP_TIMEOUT", 0.1)
    with serving_mail(Inbox(hold=threading.Event())) as server:
        assert server.hold
        use_server(monkeypatch, server.port)
        await write()
        async with mail_worker(database):
            await until(lambda: server.tries == 1)
            asyncio.get_running_loop().call_later(0.4, server.hold.set)
            await none_waits(second)
    assert (server.tries, len(server.letters)) == (1, 1)


REFUSE_MARKS = """
    CREATE FUNCTION refuse_mark() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER refuse_mark BEFORE UPDATE ON mails
        FOR EACH ROW WHEN (NEW.sent_at IS NOT NULL) EXECUTE FUNCTION refuse_mark()
"""


async def test_failed_save_of_the_result_is_retried_without_sending_again(
    inbox: Inbox, write: Write, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plinth.accounts.services.mail_worker.SAVE_RETRY_SECONDS", 0.01)
    await second.execute(REFUSE_MARKS)
    try:
        await write()
        await inbox.next(ANN)
        await asyncio.sleep(0.1)  # some attempts, all refused
        assert (await one_row(second))["sent_at"] is None
    finally:
        await second.execute("DROP FUNCTION refuse_mark CASCADE")
    await none_waits(second)
    row = await one_row(second)
    assert (inbox.tries, row["attempts"], row["dead_at"]) == (1, 1, None)


@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_mail_is_sent_only_to_a_server_with_a_trusted_certificate(
    write: Write,
    second: asyncpg.Connection,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    trusted, stranger = (make_certificate(tmp_path / name) for name in ("ours", "other"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted)
    options = {"ssl": context} if way == "tls" else {"tls_context": context, "require_starttls": 1}
    with serving_mail(**options) as server:
        use_server(monkeypatch, server.port, way)
        monkeypatch.setattr(settings, "SMTP_CA_FILE", stranger)
        await write()
        async with mail_worker(database):
            await wait_for_error(second, "SSLCertVerificationError")
            assert server.tries == 0
            monkeypatch.setattr(settings, "SMTP_CA_FILE", trusted)
            await server.next(ANN)
            await none_waits(second)


async def test_development_writes_mail_to_a_file_and_logs_its_link(
    write: Write,
    second: asyncpg.Connection,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    caplog.set_level("INFO")
    await write(page="reset-password", token="a-token")
    async with mail_worker(database):
        await none_waits(second)
    (file,) = (tmp_path / "mail").glob("*.eml")
    assert file.stat().st_mode & 0o077 == 0
    link = "http://localhost:3000/reset-password#token=a-token"
    assert link in file.read_text()
    assert link in caplog.text


def use_server(monkeypatch: pytest.MonkeyPatch, port: int, tls: str = "none") -> None:
    for name, value in {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": port,
        "SMTP_TLS": tls,
        "MAIL_POLL_SECONDS": 0.05,
        "MAIL_RETRY_SECONDS": 0.01,
    }.items():
        monkeypatch.setattr(settings, name, value)


async def wait_for_error(second: asyncpg.Connection, error: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await second.fetchval(  # noqa: ASYNC110 - the database sends no event
            "SELECT last_error ~ $1 FROM mails WHERE dead_at IS NULL", error
        ):
            await asyncio.sleep(0.01)


def make_certificate(file: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return file
