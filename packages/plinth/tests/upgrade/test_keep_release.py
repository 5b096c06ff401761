"""`make keep-release` with the present code and two older releases."""

import shutil
from pathlib import Path

import pytest

from tests.upgrade.__main__ import main
from tests.upgrade.kept import find_releases
from tests.upgrade.release import read_version


def test_the_last_two_releases_are_kept(kept_today: Path) -> None:
    assert [it.name for it in kept_today.iterdir() if it.name.startswith(".")] == []
    assert [*find_releases(kept_today)] == ["0.10.0", read_version()]


def test_a_second_run_changes_nothing(kept_today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {it: it.stat().st_mtime_ns for it in kept_today.rglob("*")}
    main(["--folder", str(kept_today)])
    assert {it: it.stat().st_mtime_ns for it in kept_today.rglob("*")} == before
    assert "there is nothing to do" in capsys.readouterr().out


def test_other_code_of_the_same_version_is_refused(kept_today: Path, tmp_path: Path) -> None:
    shutil.copytree(kept_today, tmp_path, dirs_exist_ok=True)
    wheel = find_releases(tmp_path)[read_version()].wheel
    wheel.write_bytes(b"other code")
    with pytest.raises(SystemExit, match="was made of other code: raise the version"):
        main(["--folder", str(tmp_path)])
    assert wheel.read_bytes() == b"other code"
