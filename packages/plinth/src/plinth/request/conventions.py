"""How the API below a path is authenticated and answers errors, where that is not our default."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class FieldFault:
    """
    Attributes:
        loc: where it came in, such as `("body", "email")`.
        msg: what is wrong, to be read after the name.
        type: a stable name of the reason, for programs.
    """

    loc: Sequence[str | int]
    msg: str
    type: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, before it is written as a body.

    Attributes:
        title: the phrase of the status.
        detail: a sentence for people.
        code: a stable name for programs.
        fields: the fields that are not valid, with a 422.
        data: the detail of an `HTTPException` that is no text.
    """

    status: int
    title: str
    detail: str
    code: str
    request_id: str | None
    fields: Sequence[FieldFault] = ()
    data: Any = None


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How errors are written, and so what the OpenAPI document names for them.

    Args:
        render: makes the body. No text in a `Failure` has lone surrogates.
        model: what `render` returns.
        invalid: what it returns for a 422; `model` where it is left out.
        media_type: of the body, which is JSON.
        statuses: another status than ours, by the code of the error, such as
            `{"email_taken": 409}`. A route that answers it declares it.
    """

    render: Callable[[Failure], BaseModel]
    model: type[BaseModel]
    invalid: type[BaseModel] | None = None
    media_type: str = "application/json"
    statuses: Mapping[str, int] = field(default_factory=dict)

    def model_for(self, status: int) -> type[BaseModel]:
        return self.invalid or self.model if status == 422 else self.model  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Conventions:
    """
    Args:
        errors: how all errors below the path are answered; None for problem documents (RFC 9457).
        scheme: the word before the access token in the header `Authorization` (RFC 9110, 11.1),
            such as "Token".
    """

    errors: ErrorFormat | None = None
    scheme: str = "Bearer"


DEFAULT = Conventions()

ByPrefix = Mapping[str, Conventions]
"""By the beginning of paths, such as `/api/v1/articles`; the longest that fits counts."""


def find_conventions(conventions: ByPrefix, path: str) -> Conventions:
    fitting = [it for it in conventions if path == it or path.startswith(f"{it}/")]
    return conventions[max(fitting, key=len)] if fitting else DEFAULT


def check_prefixes(conventions: ByPrefix) -> None:
    """
    Raises:
        ValueError: a prefix is no beginning of a path.
    """
    for prefix in conventions:
        if not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix:
            raise ValueError(
                f"conventions: the prefix {prefix!r} must begin with a slash, not end with one, and"
                " have no parameter"
            )
