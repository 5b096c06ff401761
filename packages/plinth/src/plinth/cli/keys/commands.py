"""`plinth keys`: the commands and their options; docs/how-to/keys.md is the guide."""

import re
from enum import StrEnum
from typing import Annotated

import typer

keys = typer.Typer(
    name="keys",
    help="Manage the keys that sign access tokens (KEYS_FILE), and change SECRET_KEY.",
    no_args_is_help=True,
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
    match = re.fullmatch(r"(\d{1,6})([smh])", text)
    seconds = int(match[1]) * SECONDS[match[2]] if match else MAX_DURATION_SECONDS + 1
    if seconds > MAX_DURATION_SECONDS:
        raise typer.BadParameter("must be a duration such as 0s, 10m or 1h, at most 24h")
    return seconds


@keys.command()
def rotate(
    *,
    alg: Annotated[
        Algorithm | None,
        typer.Option(
            help="Algorithm. Choose EdDSA or ES256 if other services verify the tokens. Default: "
            "that of the newest key.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="DURATION",
            parser=parse_duration,
            help="Delay until the new key signs, such as 0s or 10m. Default: 10m for EdDSA and "
            "ES256, because other services cache the public keys; 0s for HMAC.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create a new signing key.

    The previous keys verify tokens until the last one has expired, so no user is signed out.
    """
    from plinth.cli.keys import actions

    actions.rotate(alg, after)


@keys.command("list")
def list_keys(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the keys without their secrets, newest first."""
    from plinth.cli.keys import actions

    actions.show(as_json=as_json)


@keys.command()
def export_jwks() -> None:
    """Print the public keys, like /.well-known/jwks.json."""
    from plinth.cli.keys import actions

    actions.export()


@keys.command()
def reencrypt() -> None:
    """Encrypt stored secrets with the current SECRET_KEY, and say whether earlier keys are needed.

    Run it after a change of SECRET_KEY, with the old value in SECRET_KEY_FALLBACKS.
    """
    from plinth.cli.keys import reencryption

    reencryption.run()


@keys.command()
def revoke(
    kid: Annotated[str, typer.Argument(help="Key id, from `plinth keys list`.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a leaked key. All tokens that it signed become invalid at once."""
    from plinth.cli.keys import actions

    actions.revoke(kid, yes=yes)
