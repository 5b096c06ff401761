"""Mail: what it says (`letters`), and how it leaves: by SMTP, in development as a file."""

from plinth.mail.errors import NeverDeliverable, NotDelivered
from plinth.mail.letters import Letter, write_letter
from plinth.mail.post import can_post, post, tell_way

__all__ = [
    "Letter",
    "NeverDeliverable",
    "NotDelivered",
    "can_post",
    "post",
    "tell_way",
    "write_letter",
]
