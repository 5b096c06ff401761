"""The contract suite: rules that hold for every route, table and migration of an application.

In `tests/test_contract.py`:

    from plinth.testing.contract import *

A rule that cannot check a route skips it with a reason. docs/how-to/testing.md explains the rules
and how to skip one for a route.
"""

from plinth.testing.contract.access import *  # noqa: F403
from plinth.testing.contract.api_keys import *  # noqa: F403
from plinth.testing.contract.dependencies import *  # noqa: F403
from plinth.testing.contract.migrations import *  # noqa: F403
from plinth.testing.contract.openapi import *  # noqa: F403
from plinth.testing.contract.robustness import *  # noqa: F403
from plinth.testing.contract.skips import *  # noqa: F403
from plinth.testing.contract.tables import *  # noqa: F403
