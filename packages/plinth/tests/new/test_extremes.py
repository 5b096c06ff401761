"""Extreme values (tests/new/edge_values.py) in a resource with a column of each type."""

from tests.new.conftest import Checkout, check

FIELDS = (
    "letters:str:50? prose:text? number:int? ratio:float? price:decimal? share:decimal:20,10? "
    "flag:bool? day:date? moment:datetime? key:uuid? extra:json?"
)


def test_extreme_values_are_refused_or_stored(checkout: Checkout) -> None:
    check(checkout.plinth("new", "extreme", *FIELDS.split(), "--owned", "--search", "letters"))
    check(checkout.pytest("-n", "2", "packages/plinth/tests/new/edge_values.py"))
    check(
        checkout.pytest(
            "-n", "2", "-k", "extremes and (bad_input or attacks)", "tests/test_contract.py"
        )
    )
