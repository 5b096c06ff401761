"""The member of a request with an API key: the key, its user and the membership, in one query."""

from collections import namedtuple
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Text, column, func, join, literal_column, outerjoin, select, true
from sqlalchemy import Uuid as UuidType

from plinth.accounts.models import ApiKey
from plinth.accounts.queries.api_key.principal import (
    COLUMNS,
    KEY_COLUMNS,
    KEY_FIELDS,
    KEYS,
    WithoutSession,
)
from plinth.db.reading import Query, Reader, array_param
from plinth.organizations.queries.member import MEMBER_FIELDS, MemberPrincipal, find_membership

KeyAndSlug = tuple[UUID, str]
"""The id of an API key, and the slug of an organization."""

if TYPE_CHECKING:
    from plinth.accounts.queries.api_key.principal import KeyColumns

    class ApiKeyMember(MemberPrincipal):
        """The member of a key. The fields of a session refuse it, as in `ApiKeyPrincipal`."""

        plinth_key_scopes: Collection[str]

    class MemberKeyRow(KeyColumns, MemberPrincipal):
        def to_principal(self) -> ApiKeyMember: ...

else:

    class ApiKeyMember(WithoutSession, MemberPrincipal):
        __slots__ = ()
        plinth_key_scopes = property(itemgetter(len(MemberPrincipal._fields)))

    class MemberKeyRow(namedtuple("MemberKeyRow", (*MemberPrincipal._fields, *KEY_FIELDS))):
        __slots__ = ()

        def to_principal(self) -> ApiKeyMember:
            columns = self[: len(MemberPrincipal._fields)]
            return tuple.__new__(ApiKeyMember, (*columns, self.plinth_key_scopes))


_keys = (
    func.unnest(array_param("key_ids", UuidType()), array_param("slugs", Text()))
    .table_valued(column("key_id", UuidType()), column("slug", Text()), name="keys")
    .render_derived()
)
# As in queries/member.py: OFFSET 0 forces a lookup by key.
_own = tuple(it for it in COLUMNS if it.key not in MEMBER_FIELDS)
_principal = (
    select(*_own, *KEY_COLUMNS)
    .select_from(KEYS)
    .where(ApiKey.id == _keys.c.key_id)
    .offset(literal_column("0"))
    .lateral("principal")
)
_membership = find_membership(_keys.c.slug, _principal.c.id)
by_member_key = Query(
    select(
        *(_principal.c[str(it.key)] for it in _own),
        _membership.c.organization_id,
        _keys.c.slug.label("organization_slug"),
        _membership.c.role,
        *(_principal.c[name] for name in KEY_FIELDS),
    ).select_from(outerjoin(join(_keys, _principal, true()), _membership, true())),
    MemberKeyRow,
)


async def load_member_keys(
    reader: Reader, keys: Sequence[KeyAndSlug]
) -> Mapping[KeyAndSlug, MemberKeyRow]:
    """Return each key with its user. `organization_id` is None if the user is no member."""
    key_ids, slugs = zip(*keys, strict=True)
    rows = await reader.all(by_member_key, key_ids=key_ids, slugs=slugs)
    return {(row.plinth_key_id, row.organization_slug): row for row in rows}
