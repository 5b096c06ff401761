"""Organizations: their members, roles and invitations."""
