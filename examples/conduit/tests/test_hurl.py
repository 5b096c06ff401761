"""The newer public suite, in Hurl and in Bruno, restated: its 149 requests and what each expects.

| file of the suite | requests | test |
| --- | --- | --- |
| articles | 17 | `test_articles` |
| auth | 20 | `test_auth` |
| comments | 13 | `test_comments` |
| favorites | 9 | `test_favorites` |
| feed | 12 | `test_feed` |
| pagination | 7 | `test_pagination` |
| profiles | 7 | `test_profiles` |
| tags | 4 | `test_tags` |
| errors_articles | 20 | `test_hurl_errors.py::test_articles` |
| errors_auth | 15 | `test_hurl_errors.py::test_auth` |
| errors_authorization | 9 | `test_hurl_errors.py::test_authorization` |
| errors_comments | 10 | `test_hurl_errors.py::test_comments` |
| errors_profiles | 6 | `test_hurl_errors.py::test_profiles` |

Each test sends as many requests as its file, and counts them.
"""

from typing import Any

from tests.api import NO_ARTICLE, PASSWORD, Api, check_article, check_comment, check_user

TAGS = ["dogs", "trees"]


async def test_articles(api: Api) -> None:
    token = await api.register("art")
    article = await api.write(token, "Test article", tagList=TAGS)
    new = {"favorited": False, "favoritesCount": 0, "tagList": TAGS, "title": "Test article"}
    assert {name: article[name] for name in new} == new
    assert article["author"]["username"] == "art"
    for query in ("", "?author=art", "?tag=dogs"):
        for reader in (None, token) if "tag" not in query else (None,):
            (found,) = (await api.list(f"/articles{query}", token=reader))["articles"]
            assert (found["tagList"], found["author"]["username"]) == (TAGS, "art")
    await api.list("/articles")

    path = f"/articles/{article['slug']}"
    check_article(await api.send("GET", path), **new, slug=article["slug"], body="All of it")
    changed = await _update(api, token, path, body="Another body")
    assert changed["createdAt"] == article["createdAt"]
    assert changed["updatedAt"] != article["updatedAt"]
    check_article(await api.send("GET", path), **new, slug=article["slug"], body="Another body")
    assert (await _update(api, token, path, body="A third"))["tagList"] == TAGS
    assert (await _update(api, token, path, tagList=[]))["tagList"] == []
    check_article(await api.send("GET", path), tagList=[])
    await api.send("PUT", path, {"article": {"tagList": None}}, token=token, status=422)
    await api.send("DELETE", path, token=token, status=204)
    await api.refused(404, NO_ARTICLE, "GET", path)
    assert api.sent == 17


async def _update(api: Api, token: str, path: str, **changes: Any) -> Any:
    answer = await api.send("PUT", path, {"article": changes}, token=token)
    return check_article(answer, **changes)


async def test_auth(api: Api) -> None:
    await api.register("ann")
    login = {"user": {"email": "ann@test.example", "password": PASSWORD}}
    answer = await api.send("POST", "/users/login", login)
    check_user(answer, "ann")
    token = answer["user"]["token"]
    check_user(await api.send("GET", "/user", token=token), "ann")
    photo = "https://photos.example/ann.jpg"
    stored: dict[str, str | None] = {"bio": None, "image": None}
    for changes, is_read_again in (
        ({"bio": "A life"}, True),
        ({"bio": ""}, True),
        ({"bio": "Another"}, False),
        ({"bio": None}, True),
        ({"bio": "A life"}, False),
        ({"image": photo}, True),
        ({"image": ""}, True),
        ({"image": photo}, False),
        ({"image": None}, True),
    ):
        stored |= {name: value or None for name, value in changes.items()}
        answer = await api.send("PUT", "/user", {"user": changes}, token=token)
        check_user(answer, "ann", **stored)
        if is_read_again:
            check_user(await api.send("GET", "/user", token=token), "ann", **stored)
    renamed = {"username": "anna", "email": "anna@test.example"}
    answer = await api.send("PUT", "/user", {"user": renamed}, token=token)
    check_user(answer, "anna", **stored)
    answer = await api.send("GET", "/user", token=answer["user"]["token"])
    check_user(answer, "anna", **stored)
    assert api.sent == 20


async def test_comments(api: Api) -> None:
    token = await api.register("cmt")
    slug = (await api.write(token, "Commented"))["slug"]
    path = f"/articles/{slug}/comments"

    async def read(reader: str | None = None) -> list[Any]:
        answer = await api.send("GET", path, token=reader)
        return [check_comment(it) for it in answer["comments"]]

    comment = await api.comment(token, slug, "A comment")
    assert (comment["body"], comment["author"]["username"]) == ("A comment", "cmt")
    assert await read(token) == await read() == [comment]
    await api.send("DELETE", f"{path}/{comment['id']}", token=token, status=204)
    assert await read() == []
    first = await api.comment(token, slug, "The first")
    second = await api.comment(token, slug, "The second")
    assert len(await read()) == 2
    await api.send("DELETE", f"{path}/{first['id']}", token=token, status=204)
    assert await read() == [second]
    await api.send("DELETE", f"/articles/{slug}", token=token, status=204)
    assert api.sent == 13


async def test_favorites(api: Api) -> None:
    token = await api.register("fan")
    slug = (await api.write(token, "Liked"))["slug"]
    path = f"/articles/{slug}"
    liked = {"favorited": True, "favoritesCount": 1}
    check_article(await api.send("POST", f"{path}/favorite", token=token), **liked)
    check_article(await api.send("GET", path, token=token), **liked)
    for reader in (None, token):
        (found,) = (await api.list("/articles?favorited=fan", token=reader))["articles"]
        assert (found["favoritesCount"], found["favorited"]) == (1, reader is not None)
    plain = {"favorited": False, "favoritesCount": 0}
    check_article(await api.send("DELETE", f"{path}/favorite", token=token), **plain)
    check_article(await api.send("GET", path, token=token), **plain)
    await api.send("DELETE", path, token=token, status=204)
    assert api.sent == 9


async def test_feed(api: Api) -> None:
    token, celeb = await api.register("main"), await api.register("celeb")
    assert await api.list("/articles/feed", token=token) == {"articles": [], "articlesCount": 0}
    answer = await api.send("POST", "/profiles/celeb/follow", token=token)
    assert answer["profile"]["following"] is True
    slugs = [(await api.write(celeb, f"Article {number}"))["slug"] for number in (1, 2)]
    newest_first = slugs[::-1]
    for query, expected in (
        ("", newest_first),
        ("?limit=1", newest_first[:1]),
        ("?limit=1&offset=1", newest_first[1:]),
    ):
        answer = await api.list(f"/articles/feed{query}", token=token)
        assert [it["slug"] for it in answer["articles"]] == expected
        assert answer["articlesCount"] == 2
        for article in answer["articles"]:
            assert (article["author"]["username"], article["author"]["following"]) == (
                "celeb",
                True,
            )
    for slug in slugs:
        await api.send("DELETE", f"/articles/{slug}", token=celeb, status=204)
    await api.send("DELETE", "/profiles/celeb/follow", token=token)
    assert api.sent == 12


async def test_pagination(api: Api) -> None:
    token = await api.register("page")
    first, second = [(await api.write(token, f"Article {number}"))["slug"] for number in (1, 2)]
    for query, slug in (("limit=1", second), ("limit=1&offset=1", first)):
        answer = await api.list(f"/articles?author=page&{query}")
        assert [it["slug"] for it in answer["articles"]] == [slug]
        assert answer["articlesCount"] == 2
    for slug in (first, second):
        await api.send("DELETE", f"/articles/{slug}", token=token, status=204)
    assert api.sent == 7


async def test_profiles(api: Api) -> None:
    token = await api.register("prof")
    await api.register("celeb")
    for method, path, reader, is_followed in (
        ("GET", "", None, False),
        ("GET", "", token, False),
        ("POST", "/follow", token, True),
        ("DELETE", "/follow", token, False),
        ("GET", "", token, False),
    ):
        answer = await api.send(method, f"/profiles/celeb{path}", token=reader)
        expected = {"username": "celeb", "bio": None, "image": None, "following": is_followed}
        assert answer == {"profile": expected}
    assert api.sent == 7


async def test_tags(api: Api) -> None:
    token = await api.register("tag")
    slug = (await api.write(token, "Tagged", tagList=TAGS))["slug"]
    assert await api.send("GET", "/tags") == {"tags": TAGS}
    await api.send("DELETE", f"/articles/{slug}", token=token, status=204)
    assert api.sent == 4
