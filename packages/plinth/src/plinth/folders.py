"""Folders that hold secrets: keys, databases, mails with links that open accounts."""

from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Create `folder` and its parents where they are missing, for this user alone.

    `Path.mkdir(parents=True)` gives the parents the default mode, so they are made one by one. A
    folder that exists keeps its mode: it may be shared on purpose. `plinth doctor` reports it.
    """
    if folder.is_dir():
        return
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
