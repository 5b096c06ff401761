"""Passkeys (WebAuthn Level 3): registration, sign-in with nothing else, and as a second factor.

The WebAuthn challenge is the token of a row (`services/challenges.py`), which the browser signs and
returns. A pending sign-in has one already, so the passkey that completes it signs that one.
"""
