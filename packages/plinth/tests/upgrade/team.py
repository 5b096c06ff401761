"""A project that a team started and changed: resources, a column of users, an overridden route,
settings and a changed Dockerfile."""

from pathlib import Path

from tests.new.test_user_column import IN_MODEL, IN_SCHEMAS, MODEL, SCHEMAS, edit
from tests.start.conftest import Project, start_project
from tests.support.environment import FINE_KEY
from tests.upgrade.running import commit, run_plinth

ROUTES = '''"""The sessions of the user, as this shop shows them."""

from fastapi import APIRouter, Response

from app.api.deps import DB, CurrentUser
from plinth.accounts.routes import user_sessions
from plinth.accounts.schemas.session import SessionOut
from plinth.resources import USER, access

router = APIRouter(prefix="/users", tags=["sessions"])


@router.get("/me/sessions")
@access(USER, queries=2)
async def list_my_sessions(db: DB, user: CurrentUser, response: Response) -> list[SessionOut]:
    response.headers["X-Shop"] = "ours"
    return await user_sessions.list_my_sessions(db, user)
'''
OVERRIDDEN = "without_routes(user_sessions.router, user_sessions.list_my_sessions)"
# File of the project: a text that it has once, and the team's replacement.
EDITS = {
    "app/api/v1/__init__.py": {
        "from app.api.v1 import auth, health": "from app.api.v1 import auth, health, own_sessions",
        "import responses\n": "import responses, without_routes\n",
        "user_sessions.router": f"own_sessions.router, {OVERRIDDEN}",
    },
    "app/core/config.py": {"    PROJECT_NAME": "    SHOP_LIMIT: int = 3\n    PROJECT_NAME"},
    "Dockerfile": {"# The image of the API:": "# Of the team: the image of the API:"},
}
SETTINGS = {"SHOP_LIMIT": "4", "SESSIONS_PER_USER": "5", "SECRET_KEY": FINE_KEY}


def start(folder: Path, wheel: Path, shell: dict[str, str], servers: dict[str, str]) -> Project:
    """Return a project of the wheel's release that a team has changed, with a migrated database."""
    shop = start_project(folder, wheel, shell)
    commit(shop, "Start")
    shop.run("make", "install")
    run_plinth(shop, "new", "note", "title:str:200", "--owned")
    run_plinth(shop, "new", "tag", "name:str:50")
    for name, replacements in EDITS.items():
        edit(shop.folder / name, replacements)
    (shop.folder / "app" / "api" / "v1" / "own_sessions.py").write_text(ROUTES)
    settings = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
    (shop.folder / ".env").write_text(settings)
    _add_column(shop, servers)
    shop.run("make", "format")
    commit(shop, "Sell")
    return shop


def find_team_files(shop: Project) -> list[str]:
    """Return the files that the team added or changed."""
    return shop.run("git", "diff", "--name-only", "HEAD~1").split()


def _add_column(shop: Project, servers: dict[str, str]) -> None:
    """Add `phone` to users, as docs/how-to/user-columns.md does."""
    edit(shop.folder / MODEL, IN_MODEL)
    edit(shop.folder / SCHEMAS, IN_SCHEMAS)
    alembic = shop.folder / ".venv" / "bin" / "alembic"
    run_plinth(shop, "db", "upgrade", **servers)
    shop.run(alembic, "revision", "--autogenerate", "-m", "users phone", **servers)
    run_plinth(shop, "db", "upgrade", **servers)
