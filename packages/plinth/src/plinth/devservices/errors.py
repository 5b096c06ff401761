class EmbeddedError(RuntimeError):
    """The embedded services cannot be had; its text is one sentence that says what to do."""
