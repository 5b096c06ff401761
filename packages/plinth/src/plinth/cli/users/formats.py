from enum import StrEnum


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
