"""Proofs that a person reads the mailbox of an account's address."""
