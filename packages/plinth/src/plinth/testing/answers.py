"""What an answer must be."""

from typing import Any

from httpx2 import Response

USER = {
    "id",
    "email",
    "username",
    "full_name",
    "is_active",
    "is_superuser",
    "is_verified",
    "created_at",
}
PUBLIC_USER = {"id", "username", "full_name"}


def check_refusal(answer: Response, status: int, detail: str) -> Any:
    """The problem document, once it is seen to be one with exactly this detail."""
    assert (answer.status_code, answer.json().get("detail")) == (status, detail), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    return answer.json()


def check_invalid(answer: Response, *places: str) -> None:
    """A 422 whose list of fields names exactly these, such as `body.email`."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "validation_error"
    named = {".".join(map(str, field["loc"])) for field in answer.json()["errors"]}
    assert named == set(places)
