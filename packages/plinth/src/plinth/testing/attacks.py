"""Generate bad input for an operation: one bad parameter, header or body value at a time."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from plinth.testing.asgi import Header
from plinth.testing.operations import FORM, JSON, Operation, Schema
from plinth.testing.payloads import CONTENT_TYPES, DOCUMENTS, FORMS, FRAGMENTS, HEADERS, TEXTS


@dataclass(frozen=True, slots=True)
class Attack:
    about: str
    target: str
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class AttackGenerator:
    """
    Attributes:
        known: values of path and query parameters that refer to existing rows.
    """

    operation: Operation
    known: Mapping[str, object]

    def attacks(self) -> Iterator[Attack]:
        yield self.valid()
        yield from self._path_attacks()
        yield from self._query_attacks()
        yield from self._header_attacks()
        yield from self._json_attacks()
        yield from self._form_attacks()

    def valid(self) -> Attack:
        return self._attack("valid request")

    def _path_attacks(self) -> Iterator[Attack]:
        for name in self.operation.path_parameters:
            for text in filter(None, TEXTS):  # an empty text would give another path
                yield self._attack(f"path {name}={text}", target=self._target(path={name: text}))

    def _query_attacks(self) -> Iterator[Attack]:
        for name in self.operation.parameters("query"):
            for text in TEXTS:
                yield self._attack(f"query {name}={text}", target=self._target(query={name: text}))
            twice = f"{self._target()}&{name}=1&{name}=2"
            yield self._attack(f"query {name} twice", target=twice)
        for text in ("?%00=%ff", "?" + "a=1&" * 2000, "?=&&=", "?%"):
            yield self._attack(f"query {text}", target=self._target().partition("?")[0] + text)

    def _header_attacks(self) -> Iterator[Attack]:
        declared = self.operation.parameters("header")
        values = [b"", b"\x00", b"\xff", b"9" * 4400, b"a" * 10_000]
        own = [(name.lower().encode(), value) for name in declared for value in values]
        for header in (*HEADERS, *own):
            if header[0] == b"content-length" and not self.operation.description.get("requestBody"):
                continue
            yield self._attack(f"header {header!r}", headers=[header])

    def _json_attacks(self) -> Iterator[Attack]:
        schema = self.operation.body(JSON)
        if schema is None:
            return
        for document in self._bad_documents(schema):
            yield self._attack(f"body {document}", body=document.encode("utf-8", "surrogatepass"))
        for data in DOCUMENTS:
            yield self._attack(f"body {data!r}", body=data)
        for media_type in CONTENT_TYPES:
            yield self._attack(f"content type {media_type!r}", media_type=media_type)
        whole = self.operation.json_example(schema)
        twice = f'{whole[:-1]}, "extra": 1, {whole[1:]}'
        yield self._attack("extra keys, each key twice", body=twice.encode())

    def _bad_documents(self, schema: Schema) -> Iterator[str]:
        """Yield documents with one bad value, each with all and with only required properties."""
        schema = self.operation.resolve(schema)
        yield from FRAGMENTS
        if schema.get("type") == "array":
            for bad in self._bad_documents(schema["items"]):
                yield f"[{bad}]"
        properties = schema.get("properties", {})
        for name, inner in properties.items():
            for optional in {False, set(schema.get("required", ())) != set(properties)}:
                for bad in self._bad_documents(inner):
                    others = self.operation.examples(schema, optional=optional)
                    values = {key: json.dumps(value) for key, value in others.items()} | {name: bad}
                    pairs = (f"{json.dumps(key)}: {value}" for key, value in values.items())
                    yield f"{{{', '.join(pairs)}}}"

    def _form_attacks(self) -> Iterator[Attack]:
        schema = self.operation.body(FORM)
        if schema is None:
            return
        for name in schema["properties"]:
            for text in TEXTS:
                body = f"{self._form({name})}&{name}={text}"
                yield self._attack(f"form {name}={text}", body=body.encode())
        for data in FORMS:
            yield self._attack(f"form {data!r}", body=data)
        for media_type in CONTENT_TYPES:
            yield self._attack(f"content type {media_type!r}", media_type=media_type)

    def _attack(
        self,
        about: str,
        *,
        target: str | None = None,
        headers: list[Header] | None = None,
        body: bytes | None = None,
        media_type: bytes | None = None,
    ) -> Attack:
        headers = list(headers or ())
        expected, valid = self._valid_body()
        if expected:
            headers.append((b"content-type", media_type or expected))
        target = self._target() if target is None else target
        return Attack(about[:200], target, headers, valid if body is None else body)

    def _target(
        self, path: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> str:
        target = self.operation.path
        documented = self.operation.parameters("path")
        for name in self.operation.path_parameters:
            schema = documented.get(name, {}).get("schema", {"type": "integer"})
            valid = self.known.get(name, self.operation.example(name, schema))
            value = (path or {}).get(name, valid)
            target = target.replace(f"{{{name}}}", str(value))
        parameters = {
            name: self.known.get(name, self.operation.example(name, item["schema"]))
            for name, item in self.operation.parameters("query").items()
            if not self.operation.is_cursor(item["schema"])  # only the server can create a cursor
        } | dict(query or {})
        pairs = [
            (name, value)
            for name, values in parameters.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        return f"{target}?{'&'.join(f'{name}={value}' for name, value in pairs)}"

    def _valid_body(self) -> tuple[bytes, bytes]:
        if schema := self.operation.body(JSON):
            return JSON.encode(), self.operation.json_example(schema).encode()
        if self.operation.body(FORM):
            return FORM.encode(), self._form(set()).encode()
        return b"", b""

    def _form(self, without: set[str]) -> str:
        schema = self.operation.body(FORM) or {}
        values = self.operation.examples(schema)
        return urlencode({name: value for name, value in values.items() if name not in without})
