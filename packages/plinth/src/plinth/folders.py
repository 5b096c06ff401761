"""Folders with secrets: keys, databases, mails with sign-in links."""

from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, accessible only to this user.

    `Path.mkdir(parents=True)` gives parents the default mode, so create them one by one. An
    existing folder keeps its mode, since it may be shared on purpose; `plinth doctor` reports it.
    """
    if folder.is_dir():
        return
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
