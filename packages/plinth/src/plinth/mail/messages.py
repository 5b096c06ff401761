"""Letters: a template in `templates/`, filled, as text and HTML, with its headers.

A template `<kind>.txt` begins with a line `Subject: ...` and an empty one; `<kind>.html` extends
`layout.html`, and what is filled into it is escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from plinth.config import settings

TEMPLATES = Path(__file__).with_name("templates")
MAX_LINE_LENGTH = 998  # RFC 5322, 2.1.1

_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Message:
    """
    Attributes:
        sender: the envelope's, where a mail that comes back goes.
        recipient: the envelope's, the only one whom it reaches.
        link: the page of the front end that it leads to.
    """

    kind: str
    message: EmailMessage
    sender: str
    recipient: str
    link: str | None


def render_message(
    kind: str, *, number: UUID, written: datetime, recipient: str, context: Mapping[str, Any]
) -> Message:
    """
    Args:
        number: of the mail, not of the attempt: by it a receiver knows a second copy.
        filling: what the template asks for. `page` and `token` become `link`, `expires_at` (an
            epoch) becomes `until`.

    Raises:
        ValueError: the recipient is no address, or what is filled in would break a header.
    """
    link = _make_link(context["page"], context.get("token")) if "page" in context else None
    values = {"project": settings.PROJECT_NAME, "link": link, **context}
    if "expires_at" in context:
        values["until"] = _spell(datetime.fromtimestamp(context["expires_at"], UTC))
    subject, text = _render_text(kind, values)
    name, sender = parseaddr(settings.MAIL_FROM)
    sender, recipient = _to_ascii(sender), _to_ascii(recipient)

    message = EmailMessage(SMTP)
    message["From"] = _parse(sender, name)
    message["To"] = _parse(recipient)
    message["Subject"] = subject
    message["Date"] = written
    message["Message-ID"] = f"<{number}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    html = _templates.get_template(f"{kind}.html").render(values)
    message.set_content(text, cte=_choose_encoding(text))
    message.add_alternative(html, subtype="html", cte=_choose_encoding(html))
    return Message(kind, message, sender, recipient, link)


def _make_link(page: str, token: str | None) -> str:
    """The token stands in the fragment, which a browser sends to no server: it is in no log."""
    fragment = f"#token={token}" if token else ""
    return f"{settings.FRONTEND_URL.rstrip('/')}/{page}{fragment}"


def _spell(time: datetime) -> str:
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _render_text(kind: str, values: Mapping[str, Any]) -> tuple[str, str]:
    head, _, text = _templates.get_template(f"{kind}.txt").render(values).partition("\n\n")
    return head.removeprefix("Subject: "), text.rstrip() + "\n"


def _to_ascii(address: str) -> str:
    """The domain by IDNA 2008. A local part beyond ASCII stays, and asks for RFC 6531."""
    if address.isascii():
        return address
    try:
        found = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("not an address that mail can be sent to") from None
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"


def _parse(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    try:
        # The parser of `addr_spec` takes no local part beyond ASCII.
        parts = (
            {"addr_spec": address} if address.isascii() else {"username": local, "domain": domain}
        )
        return Address(name, **parts)
    except MessageError:
        raise ValueError("not an address") from None


def _choose_encoding(text: str) -> str:
    """Plain where it can be, so that a link stands whole in the source too; never 8bit, which not
    every server takes."""
    plain = text.isascii() and all(len(line) < MAX_LINE_LENGTH for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"
