"""A user agent in words that its owner recognises, for the eye and not to decide by."""

import re

# The first that fits: browsers name the ones they descend from, so the youngest come first.
BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Safari/"),
)
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux"),
)


def describe_device(user_agent: str | None) -> str:
    """A program that is no browser is called by its own name: `curl/8.5.0` is "curl"."""
    if not user_agent:
        return "Unknown device"
    browser, system = _find(BROWSERS, user_agent), _find(SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent.split("/")[0].strip()[:50] or "Unknown device"


def _find(kinds: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((name for name, sign in kinds if re.search(sign, user_agent)), None)
