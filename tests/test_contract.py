"""The rules of plinth.testing.contract, on this application's routes, tables and migrations."""

from plinth.testing.contract import *  # noqa: F403
