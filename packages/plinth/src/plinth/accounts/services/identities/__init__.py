"""Sign-in by identity providers, and the identities of a user.

flow.py       the steps of a sign-in or of linking, each with its own challenge
codes.py      the codes that the front end exchanges
linking.py    which user an account at a provider signs in
owned.py      the identities of a signed-in user
"""
