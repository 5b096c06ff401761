class NotDelivered(Exception):
    """Not this time; another attempt makes sense. The text is for whoever is on call."""


class NeverDeliverable(NotDelivered):
    """Another attempt would end the same way."""
