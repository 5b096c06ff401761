"""What a superuser may change of another in the admin."""

from typing import Any

from pydantic import MISSING, create_model

from plinth.accounts.schemas.column_values import value_type
from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.user_columns import COLUMNS, EDITABLE

_own: Any = {
    name: (value_type(COLUMNS[name]) | MISSING, MISSING)
    for name in EDITABLE
    if name not in UserAdminUpdate.model_fields
}
UserForm = create_model("UserForm", __base__=UserAdminUpdate, **_own)
"""`UserAdminUpdate`, and each column of the application's that is not secret."""
