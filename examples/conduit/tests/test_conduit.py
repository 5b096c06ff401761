"""Requirements that neither public suite covers."""

import pytest

from tests.api import PASSWORD, Api, check_article, check_user

WHO_ASKS = "SELECT their_user.id"


@pytest.mark.parametrize("path", ["/articles", "/articles/feed", "/articles?tag=dogs&author=ann"])
async def test_list_takes_two_queries(api: Api, statements: list[str], path: str) -> None:
    ann, bob = await api.register("ann"), await api.register("bob")
    await api.send("POST", "/profiles/ann/follow", token=bob)
    for number in range(5):
        article = await api.write(ann, f"Article {number}", tagList=["dogs", f"tag {number}"])
        await api.send("POST", f"/articles/{article['slug']}/favorite", token=bob)
    statements.clear()

    answer = await api.list(path, token=bob)

    assert len([it for it in statements if not it.startswith(WHO_ASKS)]) == 2, statements
    assert len(answer["articles"]) == answer["articlesCount"] == 5
    for found in answer["articles"]:
        assert (found["favorited"], found["favoritesCount"]) == (True, 1)
        assert (found["author"]["following"], len(found["tagList"])) == (True, 2)


async def test_responses_depend_on_the_viewer(api: Api) -> None:
    ann, bob = await api.register("ann"), await api.register("bob")
    path = f"/articles/{(await api.write(ann, 'Of Ann'))['slug']}"
    await api.send("POST", "/profiles/ann/follow", token=bob)
    for _ in range(2):  # the second changes nothing
        await api.send("POST", f"{path}/favorite", token=bob)
    await api.comment(ann, path.rpartition("/")[2], "Of Ann")
    for reader, is_bob in ((ann, False), (bob, True), (None, False)):
        article = check_article(await api.send("GET", path, token=reader), favoritesCount=1)
        assert (article["favorited"], article["author"]["following"]) == (is_bob, is_bob)
        answer = await api.send("GET", f"{path}/comments", token=reader)
        assert answer["comments"][0]["author"]["following"] is is_bob


async def test_filters_combine_and_usernames_ignore_case(api: Api) -> None:
    ann, bob = await api.register("ann"), await api.register("bob")
    dogs = await api.write(ann, "Dogs", tagList=["dogs"])
    trees = await api.write(bob, "Trees", tagList=["trees"])
    await api.send("POST", f"/articles/{trees['slug']}/favorite", token=ann)
    for query, expected in (
        ("author=ANN", [dogs]),
        ("favorited=Ann", [trees]),
        ("favorited=ann&author=bob&tag=trees", [trees]),
        ("favorited=ann&tag=dogs", []),
        ("author=nobody", []),
    ):
        found = await api.list(f"/articles?{query}")
        slugs = [it["slug"] for it in found["articles"]]
        assert slugs == [it["slug"] for it in expected], query
    assert await api.list("/articles?offset=9") == {"articles": [], "articlesCount": 2}
    for query in ("limit=0", "limit=101", "offset=-1", "limit=many"):
        await api.send("GET", f"/articles?{query}", status=422)


async def test_a_new_title_gives_a_new_slug(api: Api) -> None:
    token = await api.register("ann")
    article = await api.write(token, "Über: Dogs & trees!")
    assert article["slug"].startswith("ber-dogs-trees-")
    path = f"/articles/{article['slug']}"
    same = {"article": {"title": article["title"]}}
    check_article(await api.send("PUT", path, same, token=token), slug=article["slug"])
    changes = {"article": {"title": "Trees"}}
    changed = check_article(await api.send("PUT", path, changes, token=token), title="Trees")
    assert changed["slug"].startswith("trees-")
    await api.send("GET", path, status=404)


async def test_password_change_revokes_other_sessions(api: Api) -> None:
    other = await api.register("ann")
    login = {"user": {"email": "ann@test.example", "password": PASSWORD}}
    token = (await api.send("POST", "/users/login", login))["user"]["token"]
    changes = {"user": {"password": "another-one-1"}}
    check_user(await api.send("PUT", "/user", changes, token=token), "ann")
    await api.send("GET", "/user", token=token)
    await api.send("GET", "/user", token=other, status=401)
    await api.send("POST", "/users/login", login, status=401)
    login["user"]["password"] = "another-one-1"
    await api.send("POST", "/users/login", login)


async def test_a_comment_belongs_to_its_article(api: Api) -> None:
    token = await api.register("ann")
    first, second = [(await api.write(token, f"Article {number}"))["slug"] for number in (1, 2)]
    comment = await api.comment(token, first, "Of the first")
    nothing = {"comment": ["not found"]}
    path = f"/articles/{second}/comments/{comment['id']}"
    await api.refused(404, nothing, "DELETE", path, token=token)


async def test_only_the_token_scheme_is_accepted(api: Api) -> None:
    token = await api.register("ann")
    answer = await api.client.get("/user", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Token")


async def test_errors_before_a_route_have_the_same_format(api: Api) -> None:
    await api.refused(404, {"not_found": ["not found"]}, "GET", "/nowhere")
    await api.refused(405, {"method_not_allowed": ["Method Not Allowed"]}, "PATCH", "/user")
    await api.refused(422, {"user": ["Field required"]}, "POST", "/users", {})
