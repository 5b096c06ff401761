"""Versions of what is shown: `ETag`, `If-None-Match` and `If-Match` (RFC 9110, 8.8 and 13.1)."""

import re
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Header, Response

NOT_MODIFIED = 304
TAG = re.compile(r'(W/)?"(\d{1,19})"')


class HasVersion(Protocol):
    version: Any


RowT = TypeVar("RowT", bound=HasVersion)

SHOWS_VERSION: dict[int | str, dict[str, Any]] = {
    NOT_MODIFIED: {"description": "The copy that `If-None-Match` names is fresh."}
}


class Copy:
    """What the client says it has, and what it is told that it has now."""

    def __init__(
        self,
        response: Response,
        if_match: Annotated[
            str | None,
            Header(description="Change only the version with this `ETag`."),
        ] = None,
        if_none_match: Annotated[
            str | None, Header(description="Answer only if there is another than this `ETag`.")
        ] = None,
    ) -> None:
        self._response = response
        self._if_match = if_match
        self._if_none_match = if_none_match

    @property
    def versions(self) -> frozenset[int] | None:
        """Those that a change is meant for; None for any. Only strong tags count (13.1.1)."""
        if self._if_match is None or self._if_match.strip() == "*":
            return None
        return frozenset(int(number) for weak, number in TAG.findall(self._if_match) if not weak)

    def show(self, row: RowT) -> RowT:
        """Have the answer say which version it shows."""
        self._response.headers["ETag"] = _tag(row)
        return row

    def show_unless_fresh(self, row: RowT) -> RowT | Response:
        """The same, or that the client's copy is still good."""
        if self._is_fresh(row):
            return Response(status_code=NOT_MODIFIED, headers={"ETag": _tag(row)})
        return self.show(row)

    def _is_fresh(self, row: HasVersion) -> bool:
        if self._if_none_match is None:
            return False
        if self._if_none_match.strip() == "*":
            return True
        return any(int(number) == row.version for _, number in TAG.findall(self._if_none_match))


ClientCopy = Annotated[Copy, Depends()]


def _tag(row: HasVersion) -> str:
    return f'"{row.version}"'
