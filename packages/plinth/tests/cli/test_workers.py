"""`plinth serve --workers`: a change applies on each worker at the very next request."""

import asyncio
from asyncio import gather
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People, Person
from tests.support.api_keys import create_key, header
from tests.support.command import PATIENCE, find_free_port, start_plinth, wait_for_health
from tests.support.organizations import Company, found

pytestmark = pytest.mark.no_cover  # the requests run in other processes

TIMES = 100
SCOPES = ["members:read", "profile:read"]
JOIN = """
INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'member')
ON CONFLICT DO NOTHING
"""


@asynccontextmanager
async def serving(workers: int, log: Path, **settings: str) -> AsyncIterator[AsyncClient]:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}/api/v1"
    process = start_plinth(
        "serve", "--port", str(port), "--workers", str(workers), log=log, **settings
    )
    try:
        await asyncio.to_thread(wait_for_health, f"{url}/health", process, log)
        each_anew = {"Connection": "close"}  # so that different workers respond
        async with AsyncClient(base_url=url, headers=each_anew, timeout=PATIENCE) as client:
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def test_revocation_applies_on_all_workers_at_the_next_request(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    async with serving(2, tmp_path / "serve.log", **environment) as client:
        people = People(client, second)
        for _ in range(5):
            person = await people.enter()
            asked = [("GET", "/users/me", 200)] * 10
            asked += [("POST", "/auth/logout", 204)] + [("GET", "/users/me", 401)] * 10
            for method, path, status in asked:
                answer = await client.request(method, path, headers=person.headers)
                assert answer.status_code == status


async def test_change_of_a_member_applies_on_four_workers_at_the_next_request(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    async with serving(4, tmp_path / "serve.log", **environment) as client:
        company = await found(client, People(client, second), second)
        member = await company.enter("admin")
        path = f"/members/{member.id}"
        for role, status in (("member", 403), ("admin", 200)) * 5:
            await company.call("PATCH", path, company.owner, {"role": role})
            for _ in range(10):
                answer = await company.call("GET", "/invitations", member)
                assert answer.status_code == status
        await company.call("DELETE", path, company.owner)
        for _ in range(20):
            assert (await company.call("GET", "", member)).status_code == 404


Key = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owners:
    """A company, one of its members who has keys, and a superuser of the server."""

    company: Company
    member: Person
    superuser: Person

    async def create_key(self) -> Key:
        return await create_key(self.company.client, self.member, SCOPES)

    async def create_service_key(self) -> Key:
        owner, body = self.company.owner, {"name": "Sync", "role": "member"}
        account = await self.company.call("POST", "/service-accounts", owner, body)
        path = f"/service-accounts/{account.json()['id']}"
        asked = {"name": "Sync", "scopes": SCOPES}
        response = await self.company.call("POST", f"{path}/api-keys", owner, asked)
        assert response.status_code == 201, response.text
        key: Key = response.json()
        return key | {"account": path}

    async def get_statuses(self, key: Key) -> tuple[int, int]:
        """Send requests with a key to a route of the organization and to one of the user."""
        paths = f"/organizations/{self.company.slug}/members", "/users/me"
        get = self.company.client.get
        inside, outside = await gather(*(get(path, headers=header(key)) for path in paths))
        return inside.status_code, outside.status_code

    async def restore(self) -> None:
        """Undo the change of the member and of the key."""
        revive = "revoked_at = NULL, expires_at = now() + interval '1 day'"
        await self.company.second.execute(f"UPDATE api_keys SET {revive}")
        await self.company.second.execute("UPDATE users SET is_active = true")
        await self.company.second.execute(JOIN, self.company.id, self.member.id)


async def revoke_key(owners: Owners, key: Key) -> None:
    headers = owners.member.headers
    path = f"/users/me/api-keys/{key['id']}"
    assert (await owners.company.client.delete(path, headers=headers)).status_code == 204


async def expire_key(owners: Owners, key: Key) -> None:
    expire = "UPDATE api_keys SET expires_at = now() WHERE id = $1"
    await owners.company.second.execute(expire, UUID(key["id"]))


async def deactivate_owner(owners: Owners, _: Key) -> None:
    """Deactivate the owner of the key as the route does, which leaves the keys alone."""
    path, headers = f"/users/{owners.member.id}", owners.superuser.headers
    client, body = owners.company.client, {"is_active": False}
    assert (await client.patch(path, json=body, headers=headers)).status_code == 200


async def remove_member(owners: Owners, _: Key) -> None:
    company = owners.company
    path = f"/members/{owners.member.id}"
    assert (await company.call("DELETE", path, company.owner)).status_code == 204


async def delete_account(owners: Owners, key: Key) -> None:
    company = owners.company
    assert (await company.call("DELETE", key["account"], company.owner)).status_code == 204


End = Callable[[Owners, Key], Coroutine[Any, Any, None]]
ENDS: dict[End, tuple[int, int]] = {
    revoke_key: (401, 401),
    expire_key: (401, 401),
    remove_member: (404, 200),
    deactivate_owner: (400, 400),  # after the others, since it ends the session of the member
    delete_account: (401, 401),
}
"""The statuses after each change, as of `Owners.get_statuses`."""


async def test_end_of_a_key_applies_on_four_workers_at_the_next_request(
    environment: dict[str, str], second: asyncpg.Connection, tmp_path: Path
) -> None:
    """Requests with the key run at the same time as the change, and after it."""
    settings = environment | {"LIMIT_API_KEYS": "10000/1d"}
    async with serving(4, tmp_path / "serve.log", **settings) as client:
        people = People(client, second)
        company = await found(client, people, second)
        member = await company.enter("member")
        owners = Owners(company, member, await people.enter(is_superuser=True))
        key = await owners.create_key()
        for end, statuses in ENDS.items():
            for _ in range(TIMES):
                key = await owners.create_service_key() if end is delete_account else key
                await race(owners, key, end, statuses)
                await owners.restore()


async def race(owners: Owners, key: Key, end: End, statuses: tuple[int, int]) -> None:
    assert await owners.get_statuses(key) == (200, 200)
    change = asyncio.create_task(end(owners, key))
    during = await gather(*(owners.get_statuses(key) for _ in range(2)))
    await change
    for pair in during:
        assert all(it in (200, last) for it, last in zip(pair, statuses, strict=True)), end
    after = await gather(*(owners.get_statuses(key) for _ in range(3)))
    assert after == [statuses] * 3, end
