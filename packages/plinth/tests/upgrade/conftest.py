"""A project that was started, changed and used with one release, and then upgraded to the next:
`make -C packages/plinth test-upgrade`.

The releases are those in `releases/`; while that folder is empty, the present code replaces them.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from plinth.testing.databases import TestServices
from tests.start.conftest import Project, bare_shell, open_folder
from tests.support.measured import measured, pytest_terminal_summary
from tests.upgrade.__main__ import main
from tests.upgrade.kept import Facts, KeptRelease, find_releases
from tests.upgrade.release import build_next_release, read_version
from tests.upgrade.running import empty_servers, hash_files, run_plinth, serving
from tests.upgrade.seed import bearer, refresh

__all__ = ["bare_shell", "measured", "pytest_terminal_summary"]

TODAY = "today"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    Attributes:
        shop: the project with the new release installed.
        before: a copy of it with the old release.
        servers: the settings that both run with.
        headers: with an access token of the old release.
        hashes: of each file before the upgrade.
        printed: by `plinth upgrade`.
    """

    shop: Project
    before: Project
    servers: dict[str, str]
    facts: Facts
    headers: dict[str, str]
    hashes: dict[str, str]
    printed: str


@pytest.fixture(scope="session")
def new_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_next_release(tmp_path_factory.mktemp("new"))


@pytest.fixture(scope="session")
def kept_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of releases after `make keep-release` with the present code."""
    folder = tmp_path_factory.mktemp("releases")
    for version in ("0.9.0", "0.10.0"):
        (folder / version).mkdir()
    main(["--folder", str(folder)])
    return folder


@pytest.fixture(scope="session", params=[*find_releases()] or [TODAY])
def release(request: pytest.FixtureRequest) -> KeptRelease:
    if request.param != TODAY:
        return find_releases()[request.param]
    folder: Path = request.getfixturevalue("kept_today")
    return find_releases(folder)[read_version()]


@pytest.fixture(scope="session")
def upgrade(
    release: KeptRelease, new_wheel: Path, services: TestServices, bare_shell: dict[str, str]
) -> Iterator[Upgrade]:
    facts = release.read_facts()
    with ExitStack() as stack:
        work = stack.enter_context(open_folder())
        servers = stack.enter_context(empty_servers(services, "upgraded"))
        before = release.unpack(work / "before", bare_shell)
        before.run("make", "install")
        release.restore(before, servers)
        with serving(before, **servers) as client:
            token = refresh(client, facts.seed.other_refresh_token)["access_token"]
        shop = release.unpack(work / "shop", bare_shell)
        hashes = hash_files(shop)
        plinth = before.folder / ".venv" / "bin" / "plinth"
        printed = shop.run(plinth, "upgrade", "--wheel", new_wheel)
        shop.run("make", "install")
        run_plinth(shop, "db", "upgrade", **servers)
        yield Upgrade(shop, before, servers, facts, bearer(token), hashes, printed)
