"""The five journeys that every client makes: register, a second time, sign in, fail, refresh."""

from httpx2 import AsyncClient, Response

TEST = {"email": "test@example.com", "username": "testuser", "password": "Test@123"}
ADMIN = {
    "email": "admin@example.com",
    "username": "admin",
    "password": "Admin@123",
    "is_superuser": True,
}


async def sign_in(client: AsyncClient, password: str) -> Response:
    return await client.post("/auth/login", json={"email": TEST["email"], "password": password})


async def test_register(client: AsyncClient) -> None:
    for account in (TEST, ADMIN):
        response = await client.post("/auth/register", json=account)
        assert response.status_code == 201, response.text
        user = response.json()
        assert (user["email"], user["username"]) == (account["email"], account["username"])
        assert user["is_superuser"] is False, "a client must not make itself a superuser"
        assert not {"password", "hashed_password"} & user.keys()


async def test_register_a_second_time(client: AsyncClient) -> None:
    await client.post("/auth/register", json=TEST)
    response = await client.post("/auth/register", json=TEST | {"username": "another"})
    assert response.status_code == 400
    assert "email already registered" in response.json()["detail"].lower()


async def test_sign_in(client: AsyncClient) -> None:
    await client.post("/auth/register", json=TEST)
    response = await sign_in(client, TEST["password"])
    assert response.status_code == 200, response.text
    tokens = response.json()
    assert tokens["token_type"] == "bearer"
    me = await client.get(
        "/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}
    )
    assert me.json()["email"] == TEST["email"]
    assert tokens["refresh_token"]


async def test_sign_in_with_a_wrong_password(client: AsyncClient) -> None:
    await client.post("/auth/register", json=TEST)
    assert (await sign_in(client, "WrongPassword123")).status_code == 401


async def test_refresh(client: AsyncClient) -> None:
    await client.post("/auth/register", json=TEST)
    old = (await sign_in(client, TEST["password"])).json()["refresh_token"]
    response = await client.post("/auth/refresh", json={"refresh_token": old})
    assert response.status_code == 200, response.text
    assert response.json()["access_token"]
    assert response.json()["refresh_token"] != old
