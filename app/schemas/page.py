from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """
    Attributes:
        total: how many there are in all.
        page: this page's number, from 1.
        size: the most that a page holds.
        pages: how many pages there are.
    """

    model_config = ConfigDict(from_attributes=True)

    items: list[ItemT]
    total: int
    page: int
    size: int
    pages: int

    @classmethod
    def of(cls, rows: Sequence[object], *, total: int, skip: int, limit: int) -> Self:
        """The page that begins after `skip` rows, its items read from `rows`."""
        return cls.model_validate(
            {
                "items": rows,
                "total": total,
                "page": skip // limit + 1,
                "size": limit,
                "pages": -(-total // limit),
            }
        )
