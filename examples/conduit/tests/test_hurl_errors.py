"""The requests of the newer public suite that are refused; `test_hurl.py` has the table."""

from typing import Any

from tests.api import NO_ARTICLE, NO_TOKEN, PASSWORD, Api

BLANK = ["can't be blank"]
TAKEN = ["has already been taken"]
FORBIDDEN = ["forbidden"]
NEW = {"title": "A title", "description": "About it", "body": "All of it"}
CHANGES = {"article": {"body": "Another"}}


async def test_articles(api: Api) -> None:
    some, unknown = "/articles/some-slug", "/articles/unknown-slug"
    for method, path, body in (
        ("POST", "/articles", {"article": NEW}),
        ("PUT", some, CHANGES),
        ("DELETE", some, None),
        ("GET", "/articles/feed", None),
        ("POST", f"{some}/favorite", None),
        ("DELETE", f"{some}/favorite", None),
    ):
        await api.refused(401, NO_TOKEN, method, path, body)
    await api.refused(404, NO_ARTICLE, "GET", unknown)

    token = await api.register("author")
    for name in NEW:
        body = {"article": {**NEW, name: ""}}
        await api.refused(422, {name: BLANK}, "POST", "/articles", body, token=token)
    slugs = [(await api.write(token, "The same title"))["slug"] for _ in range(2)]
    assert slugs[0] != slugs[1]
    for method, path, changes in (
        ("PUT", unknown, CHANGES),
        ("POST", f"{unknown}/favorite", None),
        ("DELETE", f"{unknown}/favorite", None),
        ("PUT", unknown, CHANGES),
        ("DELETE", unknown, None),
    ):
        await api.refused(404, NO_ARTICLE, method, path, changes, token=token)
    for slug in slugs:
        await api.send("DELETE", f"/articles/{slug}", token=token, status=204)
    assert api.sent == 20


async def test_auth(api: Api) -> None:
    new = {"username": "ann", "email": "ann@test.example", "password": PASSWORD}
    for name in new:
        await api.refused(422, {name: BLANK}, "POST", "/users", {"user": {**new, name: ""}})
    token = await api.register("ann")
    other = {**new, "email": "bob@test.example"}
    await api.refused(409, {"username": TAKEN}, "POST", "/users", {"user": other})
    other = {**new, "username": "bob"}
    await api.refused(409, {"email": TAKEN}, "POST", "/users", {"user": other})

    login = {"email": "ann@test.example", "password": PASSWORD}
    for name in login:
        body = {"user": {**login, name: ""}}
        await api.refused(422, {name: BLANK}, "POST", "/users/login", body)
    body = {"user": {**login, "password": "another-one"}}
    await api.refused(401, {"credentials": ["invalid"]}, "POST", "/users/login", body)
    await api.refused(401, NO_TOKEN, "GET", "/user")
    await api.refused(401, NO_TOKEN, "PUT", "/user", {"user": {"bio": "A life"}})
    for value in ("", None):
        for name in ("email", "username"):
            await api.send("PUT", "/user", {"user": {name: value}}, token=token, status=422)
    assert api.sent == 15


async def test_authorization(api: Api) -> None:
    """All of it is refused with 403, and changes nothing."""
    ann, bob = await api.register("ann"), await api.register("bob")
    path = f"/articles/{(await api.write(ann, 'Of Ann'))['slug']}"
    forbidden = {"article": FORBIDDEN}
    await api.refused(403, forbidden, "DELETE", path, token=bob)
    await api.refused(403, forbidden, "PUT", path, CHANGES, token=bob)
    comment = await api.comment(ann, path.rpartition("/")[2], "Of Ann")
    one = f"{path}/comments/{comment['id']}"
    await api.refused(403, {"comment": FORBIDDEN}, "DELETE", one, token=bob)
    assert await api.send("GET", f"{path}/comments") == {"comments": [comment]}
    await api.send("DELETE", path, token=ann, status=204)
    assert api.sent == 9


async def test_comments(api: Api) -> None:
    comment: dict[str, Any] = {"comment": {"body": "A comment"}}
    some, unknown = "/articles/some-slug/comments", "/articles/unknown-slug/comments"
    await api.refused(401, NO_TOKEN, "POST", some, comment)
    await api.refused(401, NO_TOKEN, "DELETE", f"{some}/1")
    token = await api.register("ann")
    path = f"/articles/{(await api.write(token, 'Of Ann'))['slug']}"
    blank = {"comment": {"body": ""}}
    await api.refused(422, {"body": BLANK}, "POST", f"{path}/comments", blank, token=token)
    await api.refused(404, NO_ARTICLE, "POST", unknown, comment, token=token)
    await api.refused(404, NO_ARTICLE, "GET", unknown)
    await api.refused(404, NO_ARTICLE, "DELETE", f"{unknown}/99999", token=token)
    nothing = {"comment": ["not found"]}
    await api.refused(404, nothing, "DELETE", f"{path}/comments/99999", token=token)
    await api.send("DELETE", path, token=token, status=204)
    assert api.sent == 10


async def test_profiles(api: Api) -> None:
    nobody = {"profile": ["not found"]}
    await api.refused(404, nobody, "GET", "/profiles/nobody")
    for method in ("POST", "DELETE"):
        await api.refused(401, NO_TOKEN, method, "/profiles/nobody/follow")
    token = await api.register("ann")
    for method in ("POST", "DELETE"):
        await api.refused(404, nobody, method, "/profiles/nobody/follow", token=token)
    assert api.sent == 6
