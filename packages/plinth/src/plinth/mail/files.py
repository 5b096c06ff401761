"""Development's mail: a file for each, which any mail program opens."""

from email.policy import SMTPUTF8
from pathlib import Path

from plinth.folders import make_private_folder
from plinth.mail.errors import NotDelivered
from plinth.mail.messages import Message


def keep(letter: Message, folder: Path) -> Path:
    """Write the letter whole or not at all; written again, it takes its own place.

    Raises:
        NotDelivered: the folder cannot be written.
    """
    path = folder / f"{_name(letter)}.eml"
    draft = path.with_suffix(".part")
    try:
        make_private_folder(folder)
        draft.touch(mode=0o600)  # there are links in it that open accounts
        draft.write_bytes(letter.message.as_bytes(policy=SMTPUTF8))
        draft.replace(path)
    except OSError as error:
        raise NotDelivered(f"{path} cannot be written: {error.strerror}") from error
    return path


def _name(letter: Message) -> str:
    """Sorted by time, and told apart by the mail's own number."""
    written = letter.message["Date"].datetime
    number = letter.message["Message-ID"].strip("<>").partition("@")[0]
    return f"{written:%Y%m%dT%H%M%S}-{letter.kind}-{number}"
