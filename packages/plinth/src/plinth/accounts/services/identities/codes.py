"""The codes that the front end exchanges after a sign-in at a provider.

A code is in a URL, so it is useless without the verifier of the client (RFC 7636).
"""

import hmac
from dataclasses import asdict, dataclass
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.providers import Profile, make_challenge
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.services import audit, challenges
from plinth.accounts.services.challenges import InvalidChallenge
from plinth.config import settings
from plinth.errors import Rejected

SIGN_IN, LINK = "oidc_code", "oidc_link_code"
LIFETIME = timedelta(seconds=60)
REFUSED = "identity.refused"


class InvalidRedirect(Rejected):
    code = "invalid_redirect"
    detail = "redirect_to is not one of OIDC_REDIRECT_URLS"


class InvalidVerifier(Rejected):
    code = "invalid_verifier"
    detail = "code_verifier does not match: start again"
    commit_on_error = True  # uses up the code


@dataclass(frozen=True, slots=True)
class Target:
    """The front end that receives the code.

    Attributes:
        url: one of `OIDC_REDIRECT_URLS`.
        challenge: the S256 code challenge of the client (RFC 7636).
        session_id: of the user who links the identity; None to sign in.
    """

    url: str
    challenge: str
    session_id: str | None = None

    def make_url(self, **query: str) -> str:
        return f"{self.url}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Proof:
    """
    Attributes:
        user_id: who links the identity; None to sign in.
    """

    provider: str
    profile: Profile
    user_id: int | None
    session_id: UUID | None


def check_target(url: str, challenge: str) -> Target:
    """
    Raises:
        InvalidRedirect
    """
    if url not in settings.OIDC_REDIRECT_URLS:
        raise InvalidRedirect
    return Target(url, challenge)


async def add_code(
    db: AsyncSession, name: str, profile: Profile, target: Target, pending: Pending
) -> str:
    """Store a code for the account at the provider and return it."""
    user = await lock_user(db, pending) if pending.user_id else None
    content = {"provider": name, "target": asdict(target), "profile": profile._asdict()}
    kind = LINK if user else SIGN_IN
    token, _ = await challenges.add(db, kind, LIFETIME, user=user, content=content)
    return token.text


async def use_code(db: AsyncSession, kind: str, code: str, verifier: str) -> Proof:
    """Use up a code of `receive`.

    Raises:
        InvalidChallenge: the code expired or was used.
        InvalidVerifier: the code is used up as well.
    """
    token = challenges.parse(code)
    pending = await challenges.consume(db, token, kind)
    content = challenges.open_content(token, kind, pending)
    target, name = Target(**content["target"]), content["provider"]
    if not hmac.compare_digest(make_challenge(verifier), target.challenge):
        record_refusal(db, name, "wrong code verifier", pending.user_id)
        raise InvalidVerifier
    session_id = UUID(target.session_id) if target.session_id else None
    return Proof(name, Profile(**content["profile"]), pending.user_id, session_id)


async def lock_user(db: AsyncSession, pending: Pending) -> User:
    """Lock the user of a challenge.

    Raises:
        InvalidChallenge: the credentials changed meanwhile.
    """
    user = await queries.user.get(db, pending.user_id or 0, lock=True)
    if user is None or not user.is_active or user.credential_epoch != pending.credential_epoch:
        raise InvalidChallenge
    return user


def record_refusal(db: AsyncSession, name: str, reason: str, user_id: int | None = None) -> None:
    audit.record(db, REFUSED, outcome="failure", subject_id=user_id, reason=f"{name}: {reason}")
