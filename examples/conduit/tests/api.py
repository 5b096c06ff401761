"""The requests and checks that the tests of both public suites share."""

import re
from typing import Any

from httpx2 import AsyncClient

PASSWORD = "password123"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PROFILE = {"username", "bio", "image", "following"}
LISTED = {
    *("slug", "title", "description", "tagList", "createdAt", "updatedAt"),
    *("favorited", "favoritesCount", "author"),
}
NO_TOKEN = {"token": ["is missing"]}
NO_ARTICLE = {"article": ["not found"]}


class Api:
    """Sends requests, counts them, and compares their status."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.sent = 0

    async def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        status: int = 200,
    ) -> Any:
        self.sent += 1
        headers = {"Authorization": f"Token {token}"} if token else {}
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    async def refused(
        self,
        status: int,
        errors: dict[str, list[str]],
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        token: str | None = None,
    ) -> None:
        answer = await self.send(method, path, body, token=token, status=status)
        assert answer == {"errors": errors}

    async def register(self, username: str) -> str:
        """Return the token of a new user."""
        body = {"username": username, "email": f"{username}@test.example", "password": PASSWORD}
        answer = await self.send("POST", "/users", {"user": body}, status=201)
        check_user(answer, username)
        token: str = answer["user"]["token"]
        return token

    async def write(self, token: str, title: str, **more: Any) -> Any:
        """Return a new article."""
        body = {"title": title, "description": "About it", "body": "All of it", **more}
        answer = await self.send("POST", "/articles", {"article": body}, token=token, status=201)
        return check_article(answer)

    async def comment(self, token: str, slug: str, body: str) -> Any:
        """Return a new comment."""
        sent = {"comment": {"body": body}}
        path = f"/articles/{slug}/comments"
        answer = await self.send("POST", path, sent, token=token, status=201)
        return check_comment(answer["comment"])

    async def list(self, path: str, *, token: str | None = None) -> Any:
        """Return the answer to a request for articles."""
        answer = await self.send("GET", path, token=token)
        assert set(answer) == {"articles", "articlesCount"}
        assert isinstance(answer["articlesCount"], int)
        for article in answer["articles"]:
            check_listed(article)
        return answer


def check_user(answer: Any, username: str, **expected: Any) -> None:
    user = answer["user"]
    assert set(user) == {"email", "username", "bio", "image", "token"}
    assert isinstance(user["token"], str)
    assert user["token"]
    wanted = {"username": username, "email": f"{username}@test.example", "bio": None, "image": None}
    assert {**user, "token": ""} == {**wanted, **expected, "token": ""}


def check_listed(article: Any, keys: set[str] = LISTED) -> Any:
    assert set(article) == keys
    assert all(isinstance(article[name], str) for name in ("slug", "title", "description"))
    assert isinstance(article["tagList"], list)
    assert MOMENT.fullmatch(article["createdAt"])
    assert MOMENT.fullmatch(article["updatedAt"])
    assert isinstance(article["favorited"], bool)
    assert isinstance(article["favoritesCount"], int)
    assert set(article["author"]) == PROFILE
    return article


def check_article(answer: Any, **expected: Any) -> Any:
    """Return the article of an answer."""
    article = check_listed(answer["article"], LISTED | {"body"})
    assert {name: article[name] for name in expected} == expected
    return article


def check_comment(comment: Any) -> Any:
    assert set(comment) == {"id", "body", "createdAt", "updatedAt", "author"}
    assert isinstance(comment["id"], int)
    assert MOMENT.fullmatch(comment["createdAt"])
    assert MOMENT.fullmatch(comment["updatedAt"])
    assert set(comment["author"]) == PROFILE
    return comment
