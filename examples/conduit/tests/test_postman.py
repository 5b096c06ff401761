"""The older public suite, a Postman collection, restated: its 32 requests and what each expects.

| folder of the collection | requests | test |
| --- | --- | --- |
| Auth | 5 | `test_auth` |
| Articles | 4 | `test_articles_of_a_guest` |
| Articles, Favorite, Comments | 18 | `test_an_article_and_its_comments`, `test_favorite` |
| Profiles | 4 | `test_profiles` |
| Tags | 1 | `test_tags` |

A folder's requests are counted; those that set the scene are not among them.
"""

from tests.api import PASSWORD, PROFILE, Api, check_article, check_comment, check_user

TITLE, TAGS = "How to tame a dragon", ["training", "dragons"]


async def test_auth(api: Api) -> None:
    await api.register("john")
    login = {"user": {"email": "john@test.example", "password": PASSWORD}}
    for _ in range(2):
        answer = await api.send("POST", "/users/login", login)
        check_user(answer, "john")
    token = answer["user"]["token"]
    check_user(await api.send("GET", "/user", token=token), "john")
    same = {"user": {"email": "john@test.example"}}
    check_user(await api.send("PUT", "/user", same, token=token), "john")
    assert api.sent == 5


async def test_articles_of_a_guest(api: Api) -> None:
    await api.write(await api.register("john"), TITLE, tagList=TAGS)
    api.sent = 0
    for query in ("", "?author=john", "?tag=dragons"):
        answer = await api.list(f"/articles{query}")
        assert (answer["articlesCount"], len(answer["articles"])) == (1, 1)
    assert await api.list("/articles?favorited=john") == {"articles": [], "articlesCount": 0}
    assert api.sent == 4


async def test_an_article_and_its_comments(api: Api) -> None:
    token = await api.register("john")
    api.sent = 0
    article = await api.write(token, TITLE, tagList=TAGS)
    path = f"/articles/{article['slug']}"
    assert await api.list("/articles/feed", token=token) == {"articles": [], "articlesCount": 0}
    for query in ("", "", "?author=john", "?author=john"):
        answer = await api.list(f"/articles{query}", token=token)
        assert answer["articlesCount"] == 1
    check_article(await api.send("GET", path, token=token))
    (tagged,) = (await api.list("/articles?tag=dragons", token=token))["articles"]
    assert tagged["tagList"] == ["dragons", "training"]
    changes = {"article": {"body": "With both hands"}}
    check_article(await api.send("PUT", path, changes, token=token), body="With both hands")
    comment = await api.comment(token, article["slug"], "Thanks a lot!")
    for reader in (token, None):
        answer = await api.send("GET", f"{path}/comments", token=reader)
        assert [check_comment(it)["id"] for it in answer["comments"]] == [comment["id"]]
    await api.send("DELETE", f"{path}/comments/{comment['id']}", token=token, status=204)
    await api.send("DELETE", path, token=token, status=204)
    assert api.sent == 14


async def test_favorite(api: Api) -> None:
    token = await api.register("john")
    article = await api.write(token, TITLE, tagList=TAGS)
    api.sent = 0
    path = f"/articles/{article['slug']}/favorite"
    check_article(await api.send("POST", path, token=token), favorited=True, favoritesCount=1)
    for reader in (token, token):
        (found,) = (await api.list("/articles?favorited=john", token=reader))["articles"]
        assert found["favoritesCount"] == 1
    check_article(await api.send("DELETE", path, token=token), favorited=False)
    assert api.sent == 4


async def test_profiles(api: Api) -> None:
    token = await api.register("john")
    api.sent = 0
    await api.register("celeb_john")
    for method, path, is_followed in (
        ("GET", "", False),
        ("POST", "/follow", True),
        ("DELETE", "/follow", False),
    ):
        body = {"user": {"email": "john@test.example"}} if method == "POST" else None
        answer = await api.send(method, f"/profiles/celeb_john{path}", body, token=token)
        assert set(answer["profile"]) == PROFILE
        assert answer["profile"]["following"] is is_followed
    assert api.sent == 4


async def test_tags(api: Api) -> None:
    answer = await api.send("GET", "/tags")
    assert answer == {"tags": []}
    assert api.sent == 1
