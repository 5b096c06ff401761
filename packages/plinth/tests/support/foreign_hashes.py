"""Hashes of `PASSWORD` at the lowest costs, made by Django 5.2, passlib, argon2-cffi and bcrypt."""

from plinth.testing.people import PASSWORD

assert PASSWORD == "Correct-Horse-7"

BCRYPT = "$2b$04$fL1TnVTewaPw3pBDjD4C6OqhDtrhLvYeoetfV6t0m34BulbwECjoy"
PBKDF2 = "pbkdf2_sha256$1000$seasalt$FhlroWMXh5Nd6TSxBeHgz7rIZ3jih61kkcwqfeatGAk="
DJANGO_SCRYPT = (
    "scrypt$16$seasalt$8$1$kkNiyaYWGagZL1F8+PdMTyUmDBmOPeOAaYirzSUuzb1gADBT2V5AowDrVIICLMLk"
    "N/rb8nEMS/te3LIHTA1xzw=="
)
SCRYPT = "$scrypt$ln=4,r=8,p=1$yFnL+f//X0vp3TtHyJlTig$qof+Jq2OgFgwDuQ+dtnLHl7UY7+ubPXFVasquxhCMJQ"
ARGON2I = (
    "$argon2i$v=19$m=8,t=1,p=1$9+zwFOHJrly/yvMnZm2ngQ$fvtY7rY0sqWUoAgB7YYec8E+1H1TQusMxjuifsPF1Fc"
)
ARGON2ID = (
    "$argon2id$v=19$m=64,t=1,p=8$ZGgxTlA1REVVSXVuc05DMUE0Ymx0NQ"
    "$BzjeohSd+Nt06bG+kwRpTJd14N/hNevJBZbjhmrM9nw"
)
FOREIGN = {
    "bcrypt 2a": BCRYPT.replace("$2b$", "$2a$"),
    "bcrypt 2b": BCRYPT,
    "bcrypt 2y": BCRYPT.replace("$2b$", "$2y$"),
    "argon2i": ARGON2I,
    "argon2id": ARGON2ID,
    "Django's PBKDF2": PBKDF2,
    "Django's scrypt": DJANGO_SCRYPT,
    "scrypt": SCRYPT,
}
# Django adds a prefix to these hashes.
PREFIXED = {f"bcrypt${BCRYPT}": BCRYPT, f"argon2{ARGON2ID}": ARGON2ID}

PBKDF2_BEYOND = "pbkdf2_sha256$2000001$seasalt$QYPGOI6FpNBF0Y68ebxDIOZuJjWaSs1UyYlzSJAd1Ew="
BEYOND = [
    PBKDF2_BEYOND,
    PBKDF2.replace("$1000$", "$999999999$"),
    PBKDF2.replace("$1000$", "$0$"),
    DJANGO_SCRYPT.replace("$16$", "$262144$"),
    DJANGO_SCRYPT.replace("$16$", "$17$"),
    DJANGO_SCRYPT.replace("$8$1$", "$8$255$").replace("$16$", "$16384$"),
    SCRYPT.replace("ln=4", "ln=18"),
    SCRYPT.replace("ln=4", "ln=99"),
    SCRYPT.replace("ln=4", "ln=0"),
    SCRYPT.replace("r=8", "r=0"),
    SCRYPT.replace("p=1", "p=999").replace("ln=4", "ln=14"),
    BCRYPT.replace("$04$", "$15$"),
    BCRYPT.replace("$04$", "$03$"),
    ARGON2ID.replace("m=64", "m=262145"),
    ARGON2ID.replace("m=64", "m=63"),
    ARGON2ID.replace("t=1", "t=11"),
    ARGON2ID.replace("p=8", "p=9"),
]
UNKNOWN = [
    "plain", PASSWORD, "5f4dcc3b5aa765d61d8327deb882cf99", "{SSHA}aGFzaA==", "md5$salt$abc",
    "pbkdf2_sha1$1$salt$hash", "bcrypt_sha256$" + BCRYPT, "scrypt:32768:8:1$salt$00",
    PBKDF2 + "\n", PBKDF2[:-1], PBKDF2.replace("$1000$", "$\u0661\u0660\u0660\u0660$"),
    PBKDF2.replace("seasalt", "ä"),
    PBKDF2.replace("seasalt", ""), PBKDF2.replace("$1000$", "$-1$"), " " + PBKDF2,
    SCRYPT.replace("ln=4", "ln=100"), SCRYPT[:-1], DJANGO_SCRYPT[:-1], ARGON2ID[:60], "$argon2id$",
]  # fmt: skip
