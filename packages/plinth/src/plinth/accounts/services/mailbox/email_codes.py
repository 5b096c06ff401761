"""Sign in with a code by mail instead of a password.

A code is valid only with the challenge that the requesting browser got, so reading the mailbox or
the screen alone is not enough. A challenge for an unknown address looks and behaves like any other,
and no code completes it.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from time import monotonic
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.mail import LeasedMail
from plinth.accounts.queries.sign_in import Candidate
from plinth.accounts.services import (
    audit,
    authentication,
    challenges,
    credentials,
    outbox,
    sessions,
)
from plinth.accounts.services.authentication import AuthenticatedUser
from plinth.accounts.services.factors import WrongCode
from plinth.accounts.services.mailbox import pre_hijacking
from plinth.accounts.services.sessions import SignedIn
from plinth.db.database import Database
from plinth.request.client import Client
from plinth.request.context import begin_request, current_request
from plinth.security import devices
from plinth.security.cookie_tokens import ChallengeToken

KIND = "email_code"
REQUESTED, MAIL = "email_code_requested", "email_code"
PAGE = "email-code"
DIGITS = 8
MAX_ATTEMPTS = 5  # for each code
LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RequestedCode:
    """
    Attributes:
        challenge: a token that only the requester gets.
        expires_at: Unix time in seconds.
    """

    challenge: str
    expires_at: int


async def request(db: AsyncSession, email: str) -> RequestedCode:
    """Enqueue a code for an account that may not exist.

    The mail worker looks up the account, so the response time is the same for every address.
    """
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    token, expires_at = await challenges.add(
        db, KIND, LIFETIME, content={"email": email, "code": code}
    )
    request = current_request()
    await outbox.enqueue(
        db,
        REQUESTED,
        None,
        email=email,
        code=code,
        challenge_id=str(token.id),
        expires_at=int(expires_at.timestamp()),
        request_id=request.id if request else None,
        ip=request.client.ip if request else None,
        user_agent=request.client.user_agent if request else None,
    )
    return RequestedCode(token.text, int(expires_at.timestamp()))


async def materialize(
    db: AsyncSession,
    mail: LeasedMail,
    *,
    email: str,
    code: str,
    challenge_id: str,
    expires_at: int,
    request_id: str | None,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Replace a queued request with a mail to the stored address of the account.

    Earlier codes of the account become void. Without an active account, or after the expiry, the
    request is removed.

    Args:
        request_id: with `ip` and `user_agent`, the origin of the request, for the audit log.
    """
    begin_request(request_id, Client(ip, user_agent))
    user = await credentials.lock_recipient(db, mail, email, "email.code_requested")
    if user is None:
        return
    if not await queries.challenge.assign(db, UUID(challenge_id), KIND, user):
        await queries.mail.remove(db, mail)
        return
    audit.record(db, "email.code_requested", subject_id=user.id)
    await outbox.materialize(
        db,
        mail,
        MAIL,
        user.email,
        username=user.username,
        page=PAGE,
        token=code,
        code=code,
        expires_at=expires_at,
    )


async def sign_in(
    database: Database, challenge: str, code: str, client: Client, device: str | None = None
) -> SignedIn:
    """Sign in with a code by mail. This verifies the address.

    Args:
        challenge: the token that the request for the code returned.
        device: the value of the device cookie (`security/devices.py`).

    Raises:
        InvalidChallenge: it expired, was completed, or had `MAX_ATTEMPTS` answers.
        MfaRequired: the code is right and used up, and the account needs a second factor.
        RateLimited: counted like a sign-in with a password.
        WrongCode: the code is wrong, or the challenge is of no account. The challenge stays valid.
    """
    started_at = monotonic()
    token = challenges.parse(challenge)
    email = await _find_email(database, token)
    candidate = await queries.sign_in.find_candidate(database.reader, email)
    attempt = await authentication.reserve_attempt(database, email, candidate, client, device)
    try:
        user = await _verify(database, token, code, candidate)
    except WrongCode:
        await authentication.delay_failure(started_at)
        raise
    authenticated = AuthenticatedUser(user, attempt, started_at)
    return await authentication.refund_on_success(
        authenticated, _complete(database, token, user.id, client, device)
    )


async def _find_email(database: Database, token: ChallengeToken) -> str:
    async with database.transaction() as db:
        pending = await challenges.find_answerable(db, token, KIND, max_attempts=MAX_ATTEMPTS)
    email: str = challenges.open_content(token, KIND, pending)["email"]
    return email


async def _verify(
    database: Database, token: ChallengeToken, code: str, candidate: Candidate | None
) -> Candidate:
    """Count an answer and return the user if it is right. For an unknown address, do the same work.

    Args:
        candidate: the account of the address.
    """
    async with database.transaction() as db:
        pending = await challenges.count_attempt(db, token, KIND, max_attempts=MAX_ATTEMPTS)
        expected: str = challenges.open_content(token, KIND, pending)["code"]
        is_right = compare_digest(code.replace(" ", "").encode(), expected.encode())
        if not is_right or candidate is None or candidate.id != pending.user_id:
            audit.record(
                db,
                "session.started",
                outcome="failure",
                subject_id=pending.user_id,
                reason="wrong code by mail",
            )
            raise WrongCode
        return candidate


async def _complete(
    database: Database, token: ChallengeToken, user_id: int, client: Client, device: str | None
) -> SignedIn:
    async with database.transaction() as db:
        # Lock the user before the challenge, as all code does, to avoid a deadlock.
        user = await queries.user.get(db, user_id, lock=True)
        used = await queries.challenge.consume(db, token.id, token.hash, KIND)
        if user is None or used is None:
            raise WrongCode
        account = devices.Account(user.id, user.credential_epoch)
        if devices.recognize_device(device, account, email=user.email):
            await credentials.mark_verified(db, user)
        else:
            await pre_hijacking.claim(db, user)
        return await sessions.complete_sign_in(db, user, ("email_code",), client)
