"""The organization that a superuser has chosen in the admin, in a cookie of the session."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from plinth.config import settings
from plinth.request.cookies import find_cookie
from plinth.security.encryption import decrypt, encrypt

COOKIE = "plinth_admin_organization"


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Attributes:
        id: the organization.
    """

    id: int
    slug: str


def read_choice(request: Request, session_id: UUID) -> Choice | None:
    """Return the choice. The cookie is encrypted and belongs to one session, because each choice
    must be in the audit log."""
    cookie = find_cookie(request.scope, COOKIE)
    try:
        sealed = urlsafe_b64decode(cookie or "")
        return Choice(**decrypt(sealed, belongs_to=_purpose(session_id)))
    except ValueError:
        return None


def set_choice(request: Request, response: Response, choice: Choice, session_id: UUID) -> None:
    response.set_cookie(
        COOKIE,
        urlsafe_b64encode(encrypt(asdict(choice), belongs_to=_purpose(session_id))).decode(),
        max_age=settings.ADMIN_SESSION_HOURS * 3600,
        path=request.scope["root_path"],
        secure=not settings.is_development,
        httponly=True,
        samesite="strict",
    )


def forget_choice(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path=request.scope["root_path"])


def _purpose(session_id: UUID) -> str:
    return f"admin organization of session {session_id}"
