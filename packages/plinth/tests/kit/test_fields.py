"""The types of fields: what is accepted equals what PostgreSQL returns later."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from plinth.resources.fields import MAX_JSON_DEPTH, DateTime, JsonObject, PlainDecimal, padded

PRICE: TypeAdapter[Decimal] = TypeAdapter(
    Annotated[Decimal, Field(max_digits=12, decimal_places=2), padded(2)]
)
WIDE: TypeAdapter[Decimal] = TypeAdapter(
    Annotated[Decimal, Field(max_digits=30, decimal_places=10), padded(10)]
)
MOMENT: TypeAdapter[Any] = TypeAdapter(DateTime)
DOCUMENT: TypeAdapter[dict[str, Any]] = TypeAdapter(JsonObject)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("1.5", "1.50"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("1E+3", "1000.00"),
        (2, "2.00"),
        (0.1, "0.10"),
    ],
)
def test_decimal_has_all_its_decimal_places(sent: Any, stored: str) -> None:
    assert str(PRICE.validate_python(sent)) == stored


def test_decimal_keeps_more_digits_than_the_default_context() -> None:
    digits = "12345678901234567890"
    assert f"{WIDE.validate_python(digits):f}" == f"{digits}.0000000000"


@pytest.mark.parametrize(
    "sent", ["NaN", "sNaN", "Infinity", "1E+11", "1E+999999", "1E-999999", "0.001", "1_0x", None]
)
def test_a_decimal_out_of_range_is_refused(sent: Any) -> None:
    with pytest.raises(ValidationError):
        PRICE.validate_python(sent)


def test_a_small_decimal_is_written_without_an_exponent() -> None:
    class Amount(BaseModel):
        value: PlainDecimal | None

    assert Amount(value=Decimal("1E-8")).model_dump_json() == '{"value":"0.00000001"}'
    assert Amount(value=None).model_dump_json() == '{"value":null}'


def test_timestamp_is_converted_to_utc() -> None:
    moment = MOMENT.validate_python("2026-03-14T10:00:00+01:00")
    assert MOMENT.dump_json(moment) == b'"2026-03-14T09:00:00Z"'


@pytest.mark.parametrize(
    "sent",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_timestamp_outside_the_range_of_utc_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError, match="within the years 1 to 9999"):
        MOMENT.validate_python(sent)


def test_json_nesting_is_limited() -> None:
    document: dict[str, Any] = {}
    for _ in range(MAX_JSON_DEPTH - 1):
        document = {"inside": document}
    assert DOCUMENT.validate_python(document) == document
    with pytest.raises(ValidationError, match="must not be nested deeper"):
        DOCUMENT.validate_python({"inside": document})
