import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from plinth.config import SettingsError, load_settings
from plinth.config.secret_key import find_weakness, keep_development_key
from plinth.security.signing import Signer, derive_key
from tests.support.environment import FINE_KEY, LIBRARY

KEEP = (
    "import sys; from pathlib import Path;"
    "from plinth.config.secret_key import keep_development_key;"
    "sys.stdin.read(); print(keep_development_key(Path(sys.argv[1])))"
)


def test_random_key_is_accepted() -> None:
    assert find_weakness(FINE_KEY) is None
    assert find_weakness(FINE_KEY, "HS512") is not None


def test_a_key_is_measured_in_bytes() -> None:
    assert find_weakness("äöüßéèêñçø" * 2) is None
    assert find_weakness("abcdefghij" * 2) is not None


def test_development_key_is_stored_with_mode_600(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    key = keep_development_key(folder)
    assert find_weakness(key, "HS512") is None
    assert keep_development_key(folder) == key
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
    assert {it.stat().st_mode & 0o777 for it in (folder, folder.parent)} == {0o700}
    assert [file.name for file in folder.iterdir()] == ["secret_key"]


def test_concurrent_processes_get_one_key(tmp_path: Path) -> None:
    """The processes wait for the end of their input, so that all start before one continues."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", KEEP, str(tmp_path / "data")],
            cwd=LIBRARY.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    with ThreadPoolExecutor(8) as together:
        keys = {said for said, _ in together.map(subprocess.Popen.communicate, started)}
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"set SECRET_KEY, or DATA_DIR to a folder that can be"):
        keep_development_key(tmp_path / "file")
    with pytest.raises(SettingsError, match=r"cannot be stored in .*file/secret_key"):
        load_settings(_env_file=None, SECRET_KEY="", DATA_DIR=tmp_path / "file")


def test_empty_key_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()
    with pytest.raises(ValueError, match="is empty: remove it"):
        keep_development_key(tmp_path)


def test_each_purpose_has_a_different_key() -> None:
    assert derive_key("one") != derive_key("two")
    assert Signer("one").sign(b"text") != Signer("two").sign(b"text")
