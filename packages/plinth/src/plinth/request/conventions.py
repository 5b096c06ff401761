"""Other authentication schemes and error formats for the API below a path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class FieldFault:
    """
    Attributes:
        loc: location in the request, such as `("body", "email")`.
        msg: follows the name of the field: "must not be empty".
        type: a stable name of the reason, for programs.
    """

    loc: Sequence[str | int]
    msg: str
    type: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, before it is rendered as a response body.

    Attributes:
        title: the phrase of the status.
        detail: a sentence for users.
        code: a stable name for programs.
        fields: the invalid fields of a 422.
        data: the `detail` of an `HTTPException` that is not text.
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
    """The format of error responses, also for the OpenAPI document.

    Args:
        render: returns the body. No text in a `Failure` contains lone surrogates.
        model: the model that `render` returns.
        invalid: the model that `render` returns for a 422; default: `model`.
        media_type: media type of the JSON body.
        statuses: other status codes, by error code: `{"email_taken": 409}`. A route that returns
            one must declare it.

    Raises:
        ValueError: a status is not one of an error: clients and caches would take it for a success.
    """

    render: Callable[[Failure], BaseModel]
    model: type[BaseModel]
    invalid: type[BaseModel] | None = None
    media_type: str = "application/json"
    statuses: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for code, status in self.statuses.items():
            if not 400 <= status <= 599:  # noqa: PLR2004
                raise ValueError(f"statuses: {code} has {status}; use one from 400 to 599")

    def model_for(self, status: int) -> type[BaseModel]:
        return self.invalid or self.model if status == 422 else self.model  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Conventions:
    """
    Args:
        errors: format of all errors below the path; None for problem documents (RFC 9457).
        scheme: authentication scheme in the `Authorization` header (RFC 9110, section 11.1), such
            as "Token".
    """

    errors: ErrorFormat | None = None
    scheme: str = "Bearer"


DEFAULT = Conventions()

ByPrefix = Mapping[str, Conventions]
"""By path prefix, such as `/api/v1/articles`; the longest match applies."""


def find_conventions(conventions: ByPrefix, path: str) -> Conventions:
    matching = [it for it in conventions if path == it or path.startswith(f"{it}/")]
    return conventions[max(matching, key=len)] if matching else DEFAULT


def check_prefixes(conventions: ByPrefix) -> None:
    """
    Raises:
        ValueError: a prefix is not valid.
    """
    for prefix in conventions:
        if not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix:
            raise ValueError(
                f"conventions: the prefix {prefix!r} must begin with a slash, not end with one, and"
                " have no parameter"
            )
