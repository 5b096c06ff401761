from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """
    Attributes:
        total: how many there are in all, counted up to 10,000; null where it was not asked for.
        page: this page's number, from 1; null for a page by cursor.
        size: the most that a page holds.
        pages: how many pages there are, where `total` is given.
        next: link to the page after it, by key: rows that come or go meanwhile make none appear
            twice and none be missed. Null at the end.
        prev: likewise to the page before.
    """

    model_config = ConfigDict(from_attributes=True)

    items: list[ItemT]
    total: int | None
    page: int | None
    size: int
    pages: int | None
    next: str | None
    prev: str | None
