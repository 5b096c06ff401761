"""The table of contents of `plinth keys`; docs/how-to/keys.md says when to do what."""

import re
from enum import StrEnum
from typing import Annotated

import typer

keys = typer.Typer(
    name="keys", help="The keys that sign access tokens (KEYS_FILE).", no_args_is_help=True
)

SECONDS = {"s": 1, "m": 60, "h": 3600}
MAX_DURATION_SECONDS = 24 * 3600


class Algorithm(StrEnum):
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"
    ES256 = "ES256"


def parse_duration(text: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    seconds = int(found[1]) * SECONDS[found[2]] if found else MAX_DURATION_SECONDS + 1
    if seconds > MAX_DURATION_SECONDS:
        raise typer.BadParameter("such as 0s, 10m or 1h, and no more than a day")
    return seconds


@keys.command()
def rotate(
    *,
    alg: Annotated[
        Algorithm | None,
        typer.Option(
            help="EdDSA or ES256 where other services verify. Left out: as the newest key."
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="10m",
            parser=parse_duration,
            help="How long the new key waits before it signs. Left out: 10m where others have to "
            "learn its public part, else 0s.",
        ),
    ] = None,
) -> None:
    """Make a new key. The others go on verifying until their last tokens have died; nobody is
    signed out."""
    from plinth.cli.keys import actions

    actions.rotate(alg, after)


@keys.command("list")
def list_keys(
    *, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show the keys, and nothing that is secret of them."""
    from plinth.cli.keys import actions

    actions.show(as_json=as_json)


@keys.command()
def export_jwks() -> None:
    """Print the public keys, as /.well-known/jwks.json gives them."""
    from plinth.cli.keys import actions

    actions.export()


@keys.command()
def revoke(
    kid: Annotated[str, typer.Argument(help="As `plinth keys list` names it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a key away at once, and with it each token that it signed: for one that leaked."""
    from plinth.cli.keys import actions

    actions.revoke(kid, yes=yes)
