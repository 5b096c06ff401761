"""Mail: what it says (`letters`), and how it leaves: by SMTP, in development as a file."""

from plinth.mail.errors import NeverDeliverable, NotDelivered
from plinth.mail.messages import Message, render_message
from plinth.mail.post import can_post, post, tell_way

__all__ = [
    "Message",
    "NeverDeliverable",
    "NotDelivered",
    "can_post",
    "post",
    "render_message",
    "tell_way",
]
