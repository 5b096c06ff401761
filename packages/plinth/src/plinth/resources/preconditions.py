"""Conditional requests: `ETag`, `If-None-Match` and `If-Match` (RFC 9110, 8.8 and 13.1)."""

import re
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Header, Response

NOT_MODIFIED = 304
TAG = re.compile(r'(W/)?"(\d{1,19})"')


class HasVersion(Protocol):
    version: Any


RowT = TypeVar("RowT", bound=HasVersion)

NOT_MODIFIED_RESPONSE: dict[int | str, dict[str, Any]] = {
    NOT_MODIFIED: {"description": "Not modified: the version in `If-None-Match` is current."}
}


class ClientPreconditions:
    """The versions that the client names, and the `ETag` of the response."""

    def __init__(
        self,
        response: Response,
        if_match: Annotated[
            str | None,
            Header(description="Change the row only if it still has this `ETag`."),
        ] = None,
        if_none_match: Annotated[
            str | None, Header(description="Return 304 if the row still has this `ETag`.")
        ] = None,
    ) -> None:
        self._response = response
        self._if_match = if_match
        self._if_none_match = if_none_match

    @property
    def versions(self) -> frozenset[int] | None:
        """The versions in `If-Match`; None for any. Only strong tags count (section 13.1.1)."""
        if self._if_match is None or self._if_match.strip() == "*":
            return None
        return frozenset(int(number) for weak, number in TAG.findall(self._if_match) if not weak)

    def tag(self, row: RowT) -> RowT:
        """Set the `ETag` of the response to the version of `row`."""
        self._response.headers["ETag"] = _tag(row)
        return row

    def respond(self, row: RowT) -> RowT | Response:
        """Return `row` with its `ETag`, or a 304 if `If-None-Match` has its version."""
        if self._is_fresh(row):
            return Response(status_code=NOT_MODIFIED, headers={"ETag": _tag(row)})
        return self.tag(row)

    def _is_fresh(self, row: HasVersion) -> bool:
        if self._if_none_match is None:
            return False
        if self._if_none_match.strip() == "*":
            return True
        return any(int(number) == row.version for _, number in TAG.findall(self._if_none_match))


Preconditions = Annotated[ClientPreconditions, Depends()]


def _tag(row: HasVersion) -> str:
    return f'"{row.version}"'
