"""Owned rows over HTTP: create, update, delete, ownership, versions and idempotency."""

from asyncio import gather
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.db.database import Database
from plinth.resources import idempotency
from plinth.testing.answers import check_invalid, check_refusal
from plinth.testing.people import People, Person
from tests.kit.drafts import Apart

NOT_FOUND = "Draft not found"
CLAIMED = "INSERT INTO idempotency_keys (user_id, key, fingerprint) VALUES ($1, 'key', '')"


@pytest.fixture
async def user(people: People) -> Person:
    return await people.enter()


@pytest.fixture
async def other(people: People) -> Person:
    return await people.enter()


async def make(client: AsyncClient, owner: Person, **values: Any) -> Response:
    return await client.post("/drafts/", json={"title": "First"} | values, headers=owner.headers)


async def count(second: asyncpg.Connection) -> int:
    found: int = await second.fetchval("SELECT count(*) FROM drafts")
    return found


async def test_create_read_update_and_delete(
    client: AsyncClient, user: Person, second: asyncpg.Connection
) -> None:
    made = await make(client, user, body="two\nlines", due="2026-12-24")
    assert made.status_code == 201
    expected = {
        "owner_id": user.id,
        "title": "First",
        "body": "two\nlines",
        "due": "2026-12-24",
        "priority": 0,
        "folder_id": None,
        "version": 1,
    }
    path = f"/drafts/{made.json()['id']}"
    assert made.json() == expected | {"id": made.json()["id"]}
    assert (await client.get(path, headers=user.headers)).json() == made.json()

    changed = await client.patch(path, json={"priority": 3, "due": None}, headers=user.headers)
    assert changed.json() == made.json() | {"priority": 3, "due": None, "version": 2}
    assert await second.fetchval("SELECT version FROM drafts") == 2
    same = await client.patch(path, json={}, headers=user.headers)
    assert same.json()["version"] == 2, "nothing was changed"

    assert (await client.delete(path, headers=user.headers)).status_code == 204
    check_refusal(await client.get(path, headers=user.headers), 404, NOT_FOUND)
    assert await count(second) == 0


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_row_of_another_user_is_404(
    client: AsyncClient,
    people: People,
    user: Person,
    other: Person,
    second: asyncpg.Connection,
    method: str,
) -> None:
    path = f"/drafts/{(await make(client, user)).json()['id']}"
    body: dict[str, Any] = {"json": {"title": "Mine now"}} if method == "PATCH" else {}

    answer = await client.request(method, path, headers=other.headers, **body)
    refused = check_refusal(answer, 404, NOT_FOUND)
    assert refused["code"] == "draft_not_found"
    assert await second.fetchval("SELECT title FROM drafts") == "First"

    superuser = await people.enter(is_superuser=True)
    allowed = await client.request(method, path, headers=superuser.headers, **body)
    assert allowed.status_code in {200, 204}


@pytest.mark.parametrize("key", ["id", "owner_id", "version", "created_at", "nonsense"])
async def test_protected_field_is_refused(
    client: AsyncClient, user: Person, other: Person, second: asyncpg.Connection, key: str
) -> None:
    check_invalid(await make(client, user, **{key: other.id}), f"body.{key}")
    path = f"/drafts/{(await make(client, user)).json()['id']}"
    answer = await client.patch(path, json={key: other.id}, headers=user.headers)
    check_invalid(answer, f"body.{key}")
    assert await second.fetchval("SELECT owner_id FROM drafts") == user.id


async def test_reference_to_a_row_of_another_user_is_refused(
    client: AsyncClient, user: Person, other: Person, second: asyncpg.Connection
) -> None:
    add = "INSERT INTO folders (owner_id, name) VALUES ($1, 'Taxes') RETURNING id"
    own, theirs = await second.fetchval(add, user.id), await second.fetchval(add, other.id)

    made = await make(client, user, folder_id=own)
    assert made.status_code == 201
    for folder in (theirs, 10**12):
        check_invalid(await make(client, user, title="b", folder_id=folder), "body.folder_id")
        answer = await client.patch(
            f"/drafts/{made.json()['id']}", json={"folder_id": folder}, headers=user.headers
        )
        check_invalid(answer, "body.folder_id")
    assert await second.fetchval("SELECT folder_id FROM drafts") == own


async def test_a_taken_title_is_a_conflict_for_its_owner_only(
    client: AsyncClient, user: Person, other: Person, second: asyncpg.Connection
) -> None:
    await make(client, user)
    refused = check_refusal(await make(client, user), 409, "Another draft has this title")
    assert refused["code"] == "draft_title_taken"
    assert (await make(client, other)).status_code == 201
    assert await count(second) == 2


class TestVersions:
    async def test_matching_if_none_match_is_304(self, client: AsyncClient, user: Person) -> None:
        path = f"/drafts/{(await make(client, user)).json()['id']}"
        tag = (await client.get(path, headers=user.headers)).headers["etag"]
        assert tag == '"1"'

        for known in (tag, f"W/{tag}", f'"7", {tag}', "*"):
            answer = await client.get(path, headers=user.headers | {"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
        for stale in ('"2"', "1", "", '"x"', "\xff"):
            headers: Any = {**user.headers, "If-None-Match": stale.encode("latin-1")}
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 200

    async def test_if_match_refuses_another_version(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection
    ) -> None:
        path = f"/drafts/{(await make(client, user)).json()['id']}"

        async def change(tag: str, title: str) -> Response:
            headers = user.headers | {"If-Match": tag}
            return await client.patch(path, json={"title": title}, headers=headers)

        changed = await change('"1"', "Second")
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        for stale in ('"1"', 'W/"2"', '"3"', "nonsense", ""):
            assert (await change(stale, "Lost")).status_code == 412
            gone = await client.delete(path, headers=user.headers | {"If-Match": stale})
            assert gone.status_code == 412
        await second.execute("UPDATE drafts SET priority = 9")
        assert (await change('"2"', "Lost")).status_code == 412, "plain SQL counts as well"
        assert (await change('"9", "3"', "Third")).status_code == 200
        assert (await change("*", "Fourth")).status_code == 200

    async def test_concurrent_updates_of_one_version_succeed_once(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection
    ) -> None:
        path = f"/drafts/{(await make(client, user)).json()['id']}"
        headers = user.headers | {"If-Match": '"1"'}

        answers = await gather(
            *(client.patch(path, json={"priority": n + 1}, headers=headers) for n in range(10))
        )

        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
        assert await second.fetchval("SELECT version FROM drafts") == 2


class TestSeveral:
    async def test_bulk_create_uses_one_statement_and_keeps_the_order(
        self, client: AsyncClient, user: Person
    ) -> None:
        several = [{"title": f"draft {n}", "priority": 100 - n} for n in range(100)]
        answer = await client.post("/drafts/bulk", json=several, headers=user.headers)
        assert answer.status_code == 201
        assert [it["title"] for it in answer.json()] == [it["title"] for it in several]
        assert all(it["owner_id"] == user.id for it in answer.json())

    @pytest.mark.parametrize("bad", [{"title": ""}, {"title": "draft 0"}, {"title": 3}])
    async def test_bulk_create_is_all_or_nothing(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection, bad: dict[str, Any]
    ) -> None:
        several = [{"title": "draft 0"}, {"title": "draft 1"}, bad]
        answer = await client.post("/drafts/bulk", json=several, headers=user.headers)
        assert answer.status_code in {409, 422}
        assert await count(second) == 0

    async def test_bulk_create_of_none_or_too_many_is_refused(
        self, client: AsyncClient, user: Person
    ) -> None:
        for number in (0, 101):
            several = [{"title": f"draft {n}"} for n in range(number)]
            answer = await client.post("/drafts/bulk", json=several, headers=user.headers)
            check_invalid(answer, "body")


class TestOnce:
    @pytest.mark.no_cover
    @pytest.mark.parametrize("time", range(50))
    async def test_concurrent_requests_with_one_key_run_once(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection, time: int
    ) -> None:
        headers = user.headers | {"Idempotency-Key": f"key-{time}"}
        answers = await gather(
            *(client.post("/drafts/", json={"title": "Once"}, headers=headers) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
        assert await count(second) == 1

    async def test_idempotency_key_with_another_body_is_refused(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection
    ) -> None:
        headers = user.headers | {"Idempotency-Key": "key"}
        await client.post("/drafts/", json={"title": "Once"}, headers=headers)
        answer = await client.post("/drafts/", json={"title": "Twice"}, headers=headers)
        check_invalid(answer, "header.idempotency-key")
        bulk = await client.post("/drafts/bulk", json=[{"title": "Once"}], headers=headers)
        check_invalid(bulk, "header.idempotency-key")
        other = await client.post("/drafts/?a=b", json={"title": "Once"}, headers=headers)
        check_invalid(other, "header.idempotency-key")
        assert await count(second) == 1

    async def test_idempotency_key_is_bound_to_the_user(
        self, client: AsyncClient, user: Person, other: Person, second: asyncpg.Connection
    ) -> None:
        for person in (user, other, user, other):
            headers = person.headers | {"Idempotency-Key": "key"}
            answer = await client.post("/drafts/", json={"title": "Once"}, headers=headers)
            assert answer.json()["owner_id"] == person.id
        assert await count(second) == 2

    async def test_refused_request_can_be_retried_with_its_key(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection
    ) -> None:
        await make(client, user)
        headers = user.headers | {"Idempotency-Key": "key"}
        again: dict[str, Any] = {"json": {"title": "First"}, "headers": headers}
        assert (await client.post("/drafts/", **again)).status_code == 409
        assert await second.fetchval("SELECT count(*) FROM idempotency_keys") == 0
        await second.execute("DELETE FROM drafts")
        assert (await client.post("/drafts/", **again)).status_code == 201

    async def test_idempotency_key_expires_after_a_day(
        self, client: AsyncClient, user: Person, second: asyncpg.Connection
    ) -> None:
        headers = user.headers | {"Idempotency-Key": "key"}
        await client.post("/drafts/", json={"title": "Once"}, headers=headers)
        age = "UPDATE idempotency_keys SET created_at = created_at - $1::interval"
        await second.execute(age, idempotency.RETENTION - timedelta(minutes=1))
        assert (
            "idempotency-replayed"
            in (await client.post("/drafts/", json={"title": "Once"}, headers=headers)).headers
        )
        await second.execute(age, timedelta(minutes=1))
        answer = await client.post("/drafts/", json={"title": "Twice"}, headers=headers)
        assert answer.json()["title"] == "Twice"
        assert await count(second) == 2

    async def test_idempotency_key_in_progress_is_409(
        self,
        drafts_app: FastAPI,
        client: AsyncClient,
        user: Person,
        second: asyncpg.Connection,
        database_url: str,
    ) -> None:
        hurried = settings.model_copy(update={"DB_LOCK_TIMEOUT": 0.05})
        database = Database(database_url, hurried, Apart.metadata)
        usual = drafts_app.state.resources
        drafts_app.state.resources = replace(usual, database=database)
        try:
            async with second.transaction():
                await second.execute(CLAIMED, user.id)
                answer = await make_with_key(client, user, "key")
        finally:
            drafts_app.state.resources = usual
            await database.close()
        assert answer.json()["code"] == "in_progress"
        assert answer.status_code == 409

    @pytest.mark.parametrize("key", ["", "a b", "a" * 256, "é"])
    async def test_invalid_idempotency_key_is_refused(
        self, client: AsyncClient, user: Person, key: str
    ) -> None:
        check_invalid(await make_with_key(client, user, key), "header.idempotency-key")


async def make_with_key(client: AsyncClient, user: Person, key: str) -> Response:
    headers: Any = {**user.headers, "Idempotency-Key": key.encode("latin-1")}
    return await client.post("/drafts/", json={"title": "Once"}, headers=headers)
