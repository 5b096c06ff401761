"""The member of a request: the session, its user and the membership, in one query."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Text,
    column,
    func,
    join,
    literal_column,
    outerjoin,
    select,
    true,
)
from sqlalchemy import Uuid as UuidType

from plinth.accounts.models import Session
from plinth.accounts.queries.principal import COLUMNS, SESSIONS, Principal
from plinth.db.reading import Query, Reader, array_param
from plinth.organizations.models import Membership, Organization

MEMBER_FIELDS = ("organization_id", "organization_slug", "role")
MemberKey = tuple[UUID, str]
"""The id of a session, and the slug of an organization."""

# A column of the application's users may have the name of a field of the membership, such as
# `role`. The field then is the membership's.
_own = tuple(it for it in COLUMNS if it.key not in MEMBER_FIELDS)
_own_names = tuple(str(it.key) for it in _own)

if TYPE_CHECKING:

    class MemberPrincipal(Principal):
        """The user, the session and the membership of a request.

        It has the columns of `Principal`, except those of the names below.

        Attributes:
            organization_id: the organization of the path.
            role: the user's role in it, a name of `Settings.ORGANIZATION_ROLES`.
        """

        organization_id: int
        organization_slug: str
        role: str

else:
    MemberPrincipal = namedtuple("MemberPrincipal", (*_own_names, *MEMBER_FIELDS))

_keys = (
    func.unnest(array_param("session_ids", UuidType()), array_param("slugs", Text()))
    .table_valued(column("session_id", UuidType()), column("slug", Text()), name="keys")
    .render_derived()
)
# OFFSET 0 forces a lookup by key, as in `accounts/queries/principal.py`. Without it, PostgreSQL may
# scan the sessions or the organizations.
_principal = (
    select(*_own)
    .select_from(SESSIONS)
    .where(Session.id == _keys.c.session_id)
    .offset(literal_column("0"))
    .lateral("principal")
)


def find_membership(slug: ColumnElement[str], user_id: ColumnElement[int]) -> FromClause:
    """Select the membership of a user in the organization of a slug, for each row of a query."""
    return (
        select(Membership.organization_id, Membership.role)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(
            Organization.slug == slug,
            Membership.user_id == user_id,
        )
        .offset(literal_column("0"))
        .lateral("membership")
    )


_membership = find_membership(_keys.c.slug, _principal.c.id)
by_membership = Query(
    select(
        *(_principal.c[name] for name in _own_names),
        _membership.c.organization_id,
        _keys.c.slug.label("organization_slug"),
        _membership.c.role,
    ).select_from(outerjoin(join(_keys, _principal, true()), _membership, true())),
    MemberPrincipal,
)


async def load_members(
    reader: Reader, keys: Sequence[MemberKey]
) -> Mapping[MemberKey, MemberPrincipal]:
    """Return the principal of each session. `organization_id` is None if the user is no member."""
    session_ids, slugs = zip(*keys, strict=True)
    rows = await reader.all(by_membership, session_ids=session_ids, slugs=slugs)
    return {(row.session_id, row.organization_slug): row for row in rows}
