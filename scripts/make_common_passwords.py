# /// script
# requires-python = ">=3.11"
# dependencies = ["django==5.2.19", "zxcvbn==4.5.0"]
# ///
"""Make plinth/security/data/common_passwords.txt.gz: `uv run scripts/make_common_passwords.py`.

Sources: the 20,000 commonest passwords of breaches that Django ships (compiled by Royce Williams;
BSD-3-Clause), and the 30,000 of zxcvbn (MIT). Both are in lower case, the commonest first.

The file has two parts with an empty line between them: words that people decorate ("qwerty" for
"Qwerty123!"), and all passwords that are long enough to be accepted otherwise.
"""

import gzip
from pathlib import Path

import django
from zxcvbn.frequency_lists import FREQUENCY_LISTS

LIBRARY = Path(__file__).parents[1] / "packages/plinth/src/plinth"
TARGET = LIBRARY / "security/data/common_passwords.txt.gz"
MIN_LENGTH = 8  # NewPassword of plinth/resources/fields.py
MIN_WORD_LENGTH, WORDS_OF_EACH = 4, 1000


def main() -> None:
    sources = [read_django(), FREQUENCY_LISTS["passwords"]]
    words = {word for source in sources for word in find_words(source)[:WORDS_OF_EACH]}
    whole = {password for source in sources for password in source if is_whole(password)}
    text = "\n".join([*sorted(words), "", *sorted(whole)])
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(words)} words, {len(whole)} passwords, {TARGET.stat().st_size} bytes")  # noqa: T201


def read_django() -> list[str]:
    folder = Path(django.__file__).parent / "contrib" / "auth"
    return gzip.decompress((folder / "common-passwords.txt.gz").read_bytes()).decode().split()


def find_words(source: list[str]) -> list[str]:
    return [word for word in source if word.isalpha() and len(word) >= MIN_WORD_LENGTH]


def is_whole(password: str) -> bool:
    # The list contains no other encoding: non-ASCII characters are damaged ones.
    return password.isascii() and len(password) >= MIN_LENGTH


if __name__ == "__main__":
    main()
