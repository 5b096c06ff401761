"""The second factors and identities in the admin: numbers and names, but no secret."""

import re
from base64 import b32encode, urlsafe_b64encode

import asyncpg
from httpx2 import AsyncClient

from plinth.db.database import Database
from plinth.testing.databases import recorded_statements
from plinth.testing.people import People, Person
from tests.support.factors import add_app, enroll
from tests.support.passkeys import add_passkey
from tests.support.superuser import Superuser

CELL = re.compile(r"<td[^>]*>\s*(.*?)\s*</td>", re.DOTALL)
NEVER = "\N{EN DASH}"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


async def add_identity(second: asyncpg.Connection, person: Person, email: str) -> None:
    await second.execute(
        "INSERT INTO identities (user_id, provider, issuer, subject, email)"
        " VALUES ($1, 'google', 'https://accounts.google.com', $2, $3)",
        person.id,
        f"subject-{person.id}",
        email,
    )


async def read_methods(root: Superuser, person: Person) -> list[list[str]]:
    page = await root.get("/user/detail", pk=str(person.id))
    assert page.status_code == 200, page.text
    table = page.text.partition("Second factors and identities")[2].partition("</table>")[0]
    return [CELL.findall(row) for row in table.split("<tr>")[2:]]


async def test_overview_counts_active_users_as_the_doctor_does(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    await enroll(client, second, await people.enter())
    await add_app(client, await people.enter())
    gone = await people.enter(is_superuser=True)
    await enroll(client, second, gone)
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", gone.id)
    lacking = (await root.get("/")).text
    assert "1 of 3 active users have one; 1 of 1 superusers do not" in lacking
    assert 'status-yellow">warning<' in lacking

    await second.execute("UPDATE users SET is_active = true WHERE id = $1", gone.id)
    await second.execute("UPDATE users SET is_superuser = id = $1", gone.id)
    await second.execute("UPDATE users SET is_superuser = true WHERE username = 'root'")
    assert "2 of 4 active users have one; 1 of 2 superusers do not" in (await root.get("/")).text


async def test_page_of_a_user_lists_the_methods_of_this_user(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person, other = await people.enter(), await people.enter()
    for each, email in ((person, "<b>ann</b>@example.com"), (other, "other@example.com")):
        await enroll(client, second, each)
        await add_passkey(client, each)
        await add_app(client, each)
        await client.post("/users/me/recovery-codes", headers=each.headers)
        await add_identity(second, each, email)

    app, passkey, identity, codes = await read_methods(root, person)
    name = await second.fetchval("SELECT name FROM factors WHERE user_id = $1", person.id)
    assert app[:2] == ["totp", name]
    assert re.fullmatch(TIME, app[2])
    assert re.fullmatch(TIME, app[3])
    assert passkey[:2] == ["passkey", "Laptop"]
    assert identity[:2] == ["identity", "google, &lt;b&gt;ann&lt;/b&gt;@example.com"]
    assert re.fullmatch(TIME, identity[2])
    assert identity[3] == NEVER
    left = await second.fetchval(
        "SELECT count(*) FROM recovery_codes WHERE user_id = $1", person.id
    )
    assert left > 0
    assert codes == ["recovery codes", f"{left} left", NEVER, NEVER]


async def test_user_without_methods_has_no_recovery_codes_left(
    root: Superuser, people: People
) -> None:
    person = await people.add()
    assert await read_methods(root, person) == [["recovery codes", "0 left", NEVER, NEVER]]


async def test_pages_show_no_secret_of_a_factor(
    root: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    app = await enroll(client, second, person)
    made = await client.post("/users/me/recovery-codes", headers=person.headers)
    await add_passkey(client, person)
    await add_identity(second, person, "ann@example.com")
    passkey = await second.fetchrow("SELECT credential_id, user_handle, public_key FROM passkeys")
    stored = await second.fetchrow("SELECT key_id, sealed FROM totp_secrets")
    hashes = [it["code_hash"] for it in await second.fetch("SELECT code_hash FROM recovery_codes")]
    secrets = [
        b32encode(app.secret).decode().rstrip("="),
        *made.json()["codes"],
        stored["key_id"],
        *(it.hex() for it in (stored["sealed"], *passkey, *hashes)),
        *(urlsafe_b64encode(it).decode().rstrip("=") for it in passkey),
        f"subject-{person.id}",
    ]
    for path in (f"/user/detail?pk={person.id}", f"/user/edit?pk={person.id}", "/user/list", "/"):
        page = await root.client.get(f"/admin{path}")
        assert page.status_code == 200
        for secret in secrets:
            assert secret not in page.text, path


async def test_methods_are_one_query_on_the_page_of_a_user_and_none_elsewhere(
    root: Superuser,
    people: People,
    client: AsyncClient,
    second: asyncpg.Connection,
    database: Database,
) -> None:
    person = await people.enter()
    await enroll(client, second, person)
    await add_identity(second, person, "ann@example.com")
    for path, expected in (
        (f"/user/detail?pk={person.id}", 1),
        (f"/user/edit?pk={person.id}", 0),
        ("/user/list", 0),
    ):
        with recorded_statements(database) as sent:
            assert (await root.client.get(f"/admin{path}")).status_code == 200
        assert sent
        reads = [it for it in sent if "FROM identities" in it or "FROM recovery_codes" in it]
        assert len(reads) == expected, path


async def test_only_superusers_see_the_methods(
    stranger: Superuser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    await add_identity(second, person, "ann@example.com")
    assert (await stranger.sign_in(person)).status_code != 303
    page = await stranger.get("/user/detail", pk=str(person.id))
    assert page.status_code == 303
    assert "google" not in page.text
