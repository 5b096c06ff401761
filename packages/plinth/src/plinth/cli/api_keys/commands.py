"""`plinth api-keys`: the commands and their options; docs/how-to/api-keys.md is the guide."""

from typing import Annotated

import typer

api_keys = typer.Typer(
    name="api-keys", help="List and revoke the API keys of users.", no_args_is_help=True
)


@api_keys.command("list")
def list_api_keys(
    user: Annotated[
        str | None,
        typer.Argument(
            metavar="[EMAIL|ID]",
            help="Email address or id of the user. Default: all users.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the API keys that work, newest first."""
    from plinth.cli.api_keys import actions

    actions.show(user, as_json=as_json)


@api_keys.command()
def revoke(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|PREFIX]",
            help="Id of the key, or the beginning of the key up to the third underscore.",
            show_default=False,
        ),
    ] = None,
    *,
    user: Annotated[
        str | None,
        typer.Option(metavar="EMAIL|ID", help="Revoke all keys of this user instead."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Revoke a key that leaked, or all keys of a user. The next request with it is refused.

    The owner is notified. Do not pass a whole key: the process list and the shell history would
    show it.
    """
    from plinth.cli.api_keys import actions

    actions.revoke(key, user, yes=yes)
