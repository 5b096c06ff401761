"""The member of a request with an API key: the key, its user and the membership, in one query."""

from collections import namedtuple
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Text, and_, column, func, select
from sqlalchemy import Uuid as UuidType
from sqlalchemy.orm import join, outerjoin

from plinth.accounts.models import ApiKey
from plinth.accounts.queries.api_key.principal import (
    COLUMNS,
    KEY_COLUMNS,
    KEY_FIELDS,
    KEYS,
    REFUSING,
)
from plinth.db.reading import Query, Reader, array_param
from plinth.organizations.models import Membership, Organization
from plinth.organizations.queries.member import MEMBER_FIELDS, MemberPrincipal

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

    class ApiKeyMember(MemberPrincipal):
        __slots__ = ()
        plinth_key_scopes = property(itemgetter(len(MemberPrincipal._fields)))
        locals().update(REFUSING)

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
_members = Query(
    select(
        *(it for it in COLUMNS if it.key not in MEMBER_FIELDS),
        Membership.organization_id.label("organization_id"),
        _keys.c.slug.label("organization_slug"),
        Membership.role.label("role"),
        *KEY_COLUMNS,
    ).select_from(
        outerjoin(
            outerjoin(
                join(_keys, KEYS, ApiKey.id == _keys.c.key_id),
                Organization,
                Organization.slug == _keys.c.slug,
            ),
            Membership,
            and_(
                Membership.organization_id == Organization.id,
                Membership.user_id == ApiKey.user_id,
            ),
        )
    ),
    MemberKeyRow,
)


async def load_member_keys(
    reader: Reader, keys: Sequence[KeyAndSlug]
) -> Mapping[KeyAndSlug, MemberKeyRow]:
    """Return each key with its user. `organization_id` is None if the user is no member."""
    key_ids, slugs = zip(*keys, strict=True)
    rows = await reader.all(_members, key_ids=key_ids, slugs=slugs)
    return {(row.plinth_key_id, row.organization_slug): row for row in rows}
