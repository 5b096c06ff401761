"""API keys.

authentication.py   the key of a request
lifecycle.py        create, change and revoke keys
revocation.py       revoke all keys of a user
usage.py            the date of the last use
"""
