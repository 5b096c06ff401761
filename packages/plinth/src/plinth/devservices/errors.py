class EmbeddedError(RuntimeError):
    """An embedded service is unavailable. The message is one sentence with the remedy."""
