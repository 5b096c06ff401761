"""The fixtures: `client`, `people`, `rows`, `database`, `second`, ..."""

pytest_plugins = ["plinth.testing.plugin"]
