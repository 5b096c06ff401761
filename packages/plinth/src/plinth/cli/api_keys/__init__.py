"""`plinth api-keys`. `commands.py` has the options, `actions.py` the implementation."""
