"""Access tokens that must be refused, each with one flaw.

The user and the session exist. The signature is valid unless it is the flaw. Therefore only the
flaw can be the reason for the refusal. RFC 8725 describes most of the flaws.
"""

import json
import time
import zlib
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

from plinth.security.tokens import issue_access_token
from tests.support.forging import (
    LEFT_OUT,
    TRUE_KEY,
    Forge,
    decode,
    doubled,
    encode,
    mac,
    name,
    padded,
    sign,
    to_json,
    unpadded,
    with_trailing_bit,
)

OTHER_KEY = b"another-key-of-thirty-two-bytes-or-more"
OTHERS_PUBLIC_KEY = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"
FAR = 4102444800  # the year 2100
SPACE_AROUND = {"space before", "space after", "line feed after"}
"""HTTP ignores white space around the value of a header (RFC 9110, section 5.5)."""


def hostile_tokens(user_id: int, session_id: UUID) -> dict[str, str]:
    """Return the tokens by the name of their flaw."""
    forge = Forge(user_id, session_id)
    tables: tuple[Callable[[Forge], Iterator[tuple[str, str]]], ...] = (
        by_algorithm,
        by_type,
        by_key,
        by_header_extension,
        by_doubled_field,
        by_issuer_and_audience,
        by_dates,
        by_subject_and_session,
        by_spelling,
        by_shape,
        by_json,
        by_signature,
    )
    found = [named for table in tables for named in table(forge)]
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), {name for name in names if names.count(name) > 1}
    return dict(found)


def by_algorithm(forge: Forge) -> Iterator[tuple[str, str]]:
    for alg in ("none", "None", "NONE", "nOnE", "none "):
        unsigned = forge.with_header(alg=alg).rpartition(".")[0]
        yield f"alg {alg!r}, no signature", f"{unsigned}."
        yield f"alg {alg!r}, signed", forge.with_header(alg=alg)
    for alg in ("HS384", "HS512"):
        yield f"alg {alg}", forge.signed_with(TRUE_KEY, f"sha{alg[2:]}", alg=alg)
    others = ("RS256", "ES256", "EdDSA", "hs256", "HS256 ", "", None, 256, ["HS256"], LEFT_OUT)
    for other in others:
        yield f"alg {name(other)}", forge.with_header(alg=other)
    yield "alg HS256, keyed by a public key", forge.signed_with(OTHERS_PUBLIC_KEY)


def by_type(forge: Forge) -> Iterator[tuple[str, str]]:
    for typ in ("JWT", "jwt", "AT+JWT", "rt+jwt", "at+jwt ", "", None, ["at+jwt"], LEFT_OUT):
        yield f"typ {name(typ)}", forge.with_header(typ=typ)


def by_key(forge: Forge) -> Iterator[tuple[str, str]]:
    kids = ("unknown", "", None, 0, "../../../../dev/null", "' OR 1=1 --", "a\0b", LEFT_OUT)
    for kid in kids:
        yield f"kid {name(kid)}", forge.with_header(kid=kid)
    yield "kid a path to nothing", forge.signed_with(b"", kid="/dev/null")
    yield "kid in a list", forge.with_header(kid=[forge.header["kid"]])
    yield "kid as key", forge.signed_with(str(forge.header["kid"]).encode())
    own = {"kty": "oct", "k": encode(OTHER_KEY)}
    yield "jwk, signed with it", forge.signed_with(OTHER_KEY, jwk=own)
    yield "jwk for kid", forge.signed_with(OTHER_KEY, kid=own)
    for field in ("jku", "x5u"):
        yield field, forge.signed_with(OTHER_KEY, **{field: "https://evil.example/keys.json"})
        yield f"{field}, true key", forge.with_header(**{field: "file:///etc/passwd"})
    yield "x5c", forge.signed_with(OTHER_KEY, x5c=["MIIB"])
    yield "x5t", forge.with_header(x5t="AAAA")


def by_header_extension(forge: Forge) -> Iterator[tuple[str, str]]:
    yield "crit exp", forge.with_header(crit=["exp"], exp=FAR)
    yield "crit unknown", forge.with_header(crit=["x"], x=1)
    yield "crit empty", forge.with_header(crit=[])
    yield "crit of what is there", forge.with_header(crit=["alg"])
    yield "b64 false", forge.with_header(b64=False)
    yield "b64 true", forge.with_header(b64=True)
    yield "b64 false, crit", forge.with_header(b64=False, crit=["b64"])
    unencoded = encode(to_json(forge.header | {"b64": False, "crit": ["b64"]})).encode()
    signed = unencoded + b"." + to_json(forge.claims)
    yield "b64 false, unencoded", f"{signed.decode()}.{mac(signed)}"
    yield "zip", sign(to_json(forge.header | {"zip": "DEF"}), zlib.compress(to_json(forge.claims)))
    yield "cty, nested", sign(to_json(forge.header | {"cty": "JWT"}), forge.good.encode())
    yield "nested", forge.raw_claims(forge.good)
    yield "nested as text", forge.raw_claims(json.dumps(forge.good))
    yield "enc", forge.with_header(enc="A256GCM")
    yield "any other field", forge.with_header(x=1)
    yield "claims in the header", forge.with_header(sub=str(forge.claims["sub"]))


def by_doubled_field(forge: Forge) -> Iterator[tuple[str, str]]:
    for first in (True, False):
        where = "first" if first else "last"
        for field, value in (("alg", '"none"'), ("typ", '"JWT"'), ("kid", '"x"')):
            text = doubled(forge.header, field, value, first=first)
            yield f"{field} twice, the other {where}", forge.raw_header(text)
        for field, value in (("sub", '"1"'), ("sid", "null"), ("exp", str(FAR)), ("aud", '"x"')):
            text = doubled(forge.claims, field, value, first=first)
            yield f"{field} twice, the other {where}", forge.raw_claims(text)
    same = doubled(forge.claims, "iss", to_json(forge.claims["iss"]).decode(), first=True)
    yield "iss twice, equal", forge.raw_claims(same)
    escaped = doubled(forge.header, "\\u0061lg", '"none"', first=True)
    yield "alg twice, once escaped", forge.raw_header(escaped)
    yield (
        "twice in an inner object",
        forge.raw_claims(doubled(forge.claims, "x", '{"a":1,"a":2}', first=True)),
    )


def by_issuer_and_audience(forge: Forge) -> Iterator[tuple[str, str]]:
    for claim in ("iss", "aud"):
        true = forge.claims[claim]
        for value in ([true], [true, "x"], "x", true.upper(), true + " ", "", None, {}, LEFT_OUT):
            yield f"{claim} {name(value)}", forge.with_claims(**{claim: value})


def by_dates(forge: Forge) -> Iterator[tuple[str, str]]:
    now, text = int(time.time()), to_json(forge.claims).decode()
    for claim in ("exp", "iat"):
        true = forge.claims[claim]
        for kind, value in (
            ("null", None),
            ("a string", str(true)),
            ("a float", float(true)),
            ("a bool", True),
            ("a list", [true]),
            ("an object", {}),
            ("hugely negative", -(10**30)),
            ("left out", LEFT_OUT),
        ):
            yield f"{claim} {kind}", forge.with_claims(**{claim: value})
        for word in ("Infinity", "-Infinity", "NaN", "1e400", "{}e0", "{}.0"):
            spelt = text.replace(f'"{claim}":{true}', f'"{claim}":{word.format(true)}')
            yield f"{claim} spelt {word}", forge.raw_claims(spelt)
    for value in (FAR, 2**31, 2**63, 10**30, 10**300):
        yield f"exp {value:.0e}", forge.with_claims(exp=value)
        yield f"nbf {value:.0e}", forge.with_claims(nbf=value)
        yield f"iat {value:.0e}", forge.with_claims(iat=value, exp=value + 1)
        yield f"iat {value:.0e}, nbf now", forge.with_claims(iat=value, nbf=now, exp=value + 1)
    a_second_ago = ("a second ago", now - 1)
    for kind, passed in (("0", 0), ("-1", -1), ("1", 1), ("false", False), a_second_ago):
        yield f"exp {kind}", forge.with_claims(exp=passed)
    for kind, issued in (("0", 0), ("-1", -1), ("false", False), ("in an hour", now + 3600)):
        yield f"iat {kind}, exp later", forge.with_claims(iat=issued, exp=now + 3700)


def by_subject_and_session(forge: Forge) -> Iterator[tuple[str, str]]:
    user, session = forge.claims["sub"], forge.claims["sid"]
    arabic = "".join(chr(0x660 + int(digit)) for digit in user)
    subjects: tuple[object, ...] = (
        int(user), float(user), f"-{user}", f"+{user}", f"0{user}", f"000{user}", f"{user}\0",
        f"\0{user}", f" {user}", f"{user} ", f"{user}\n", f"{user}.0", f"{user}e0", f"0x{user}",
        f"{user}_0", arabic, "²", "0", "-0", "", "null", "9" * 30, "9" * 1000, str(2**63),
        "\ud800", None, True, [user], {}, LEFT_OUT,
    )  # fmt: skip
    for value in subjects:
        yield f"sub {name(value)}", forge.with_claims(sub=value)
    sessions: tuple[object, ...] = (
        session.upper(), session.replace("-", ""), f"{{{session}}}", f"urn:uuid:{session}",
        f" {session}", f"{session}\n", f"{session}\0", session[:-1], session + "0", "x",
        session.replace("-", "--"), "", "null", int(UUID(session)), None, True, [session], {},
        LEFT_OUT,
    )  # fmt: skip
    for value in sessions:
        yield f"sid {name(value)}", forge.with_claims(sid=value)


def by_spelling(forge: Forge) -> Iterator[tuple[str, str]]:
    """Yield other encodings of the same bytes."""
    good = forge.good
    unsigned, _, signature = good.rpartition(".")
    header, claims = encode(unpadded(forge.header)), encode(unpadded(forge.claims))
    yield "trailing bits in the signature", f"{unsigned}.{with_trailing_bit(signature)}"
    for flaw, first, second in (
        ("trailing bits in the header", with_trailing_bit(header), claims),
        ("trailing bits in the claims", header, with_trailing_bit(claims)),
        ("padding in the header", padded(header), claims),
        ("padding in the claims", header, padded(claims)),
        ("line break in the header", f"{header[:9]}\n{header[9:]}", claims),
        ("space in the claims", header, f"{claims[:9]} {claims[9:]}"),
        ("foreign letter in the claims", header, f"{claims[:9]}*{claims[9:]}"),
        ("letter too many in the claims", header, f"{claims}AAAA"[: len(claims) // 4 * 4 + 5]),
    ):
        yield flaw, f"{first}.{second}.{mac(f'{first}.{second}'.encode())}"
    yield "padding in the signature", f"{good}="
    odd = encode(b'{"x":"~~~???\x7f~~~???\x7f",' + to_json(forge.claims)[1:])
    assert set("-_") & set(odd)
    unsigned = f"{encode(to_json(forge.header))}.{odd.translate(str.maketrans('-_', '+/'))}"
    yield "the other base64's alphabet", f"{unsigned}.{mac(unsigned.encode())}"
    yield "percent-encoded", good.replace(".", "%2E")
    yield "space before", f" {good}"
    yield "space after", f"{good} "
    yield "line feed after", f"{good}\n"
    yield "NUL after", f"{good}\0"
    yield "space inside", f"{good[:50]} {good[50:]}"
    yield "line break inside", f"{good[:50]}\r\n{good[50:]}"
    yield "umlaut after", f"{good}ä"
    yield "full-width dots", good.replace(".", "\uff0e")
    yield "lone surrogate after", f"{good}\ud800"
    yield "quoted", f'"{good}"'


def by_shape(forge: Forge) -> Iterator[tuple[str, str]]:
    header, claims, signature = forge.good.split(".")
    yield "nothing", ""
    yield "a word", "null"
    yield "two parts", f"{header}.{claims}"
    yield "four parts", f"{forge.good}.{signature}"
    yield "five parts", f"{forge.good}.{signature}.{signature}"
    yield "dots alone", ".."
    yield "a dot before", f".{forge.good}"
    yield "a dot after", f"{forge.good}."
    yield "no header", f".{claims}.{signature}"
    yield "no claims", f"{header}..{mac(f'{header}.'.encode())}"
    yield "two tokens", f"{forge.good},{forge.good}"
    yield "too long", forge.with_claims(x="x" * 2048)
    yield "a megabyte", forge.good + "A" * 1_000_000
    yield "dots without end", "." * 2000
    yield (
        "JSON serialization",
        to_json({"payload": claims, "protected": header, "signature": signature}).decode(),
    )


def by_json(forge: Forge) -> Iterator[tuple[str, str]]:
    header, claims = to_json(forge.header), to_json(forge.claims)
    parts = (("header", header, forge.raw_header), ("claims", claims, forge.raw_claims))
    for part, text, put in parts:
        for word in ("[]", "null", "true", "1", '"x"', "", "{", "{}", f"[{text.decode()}]"):
            yield f"{part} {word[:5]!r}", put(word)
        yield f"{part} twice", put(text + text)
        yield f"{part} with a byte order mark", put(b"\xef\xbb\xbf" + text)
        for encoding in ("utf-16", "utf-16-le", "utf-32-be"):
            yield f"{part} in {encoding}", put(text.decode().encode(encoding))
        yield f"{part} with half a letter", put(text[:-1] + b',"x":"\xc3"}')
        yield f"{part} with a surrogate's bytes", put(text[:-1] + b',"x":"\xed\xa0\x80"}')
        yield f"{part} with a comment", put(text + b"//")
        yield f"{part} with a NUL after it", put(text + b"\0")
        yield f"{part} in single quotes", put(text.replace(b'"', b"'"))
        yield f"{part} nested deep", put("[" * 1400)
        yield f"{part} nested deep inside", put(text[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000)
    yield "NaN in any claim", forge.raw_claims(claims[:-1] + b',"x":NaN}')


def by_signature(forge: Forge) -> Iterator[tuple[str, str]]:
    unsigned, _, signature = forge.good.rpartition(".")
    signed = decode(signature)
    other = issue_access_token(int(forge.claims["sub"]), uuid4()).rpartition(".")[2]
    for flaw, found in (
        ("no signature", b""),
        ("a signature of zeros", bytes(32)),
        ("half a signature", signed[:16]),
        ("a signature and more", signed + b"\0"),
        ("a bit flipped", bytes([signed[0] ^ 1]) + signed[1:]),
        ("the last bit flipped", signed[:-1] + bytes([signed[-1] ^ 1])),
        ("another token's signature", decode(other)),
        ("the signed text's plain hash", decode(mac(unsigned.encode(), b""))),
    ):
        yield flaw, f"{unsigned}.{encode(found)}"
    for key in (b"", b"secret", b"changeme", OTHER_KEY, TRUE_KEY.upper(), TRUE_KEY + b"\n"):
        yield f"keyed by {key[:12]!r}", forge.signed_with(key)
    anothers = encode(to_json(forge.claims | {"sub": str(int(forge.claims["sub"]) + 1)}))
    yield "claims changed", f"{unsigned.partition('.')[0]}.{anothers}.{signature}"
