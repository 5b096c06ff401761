"""The application: `uvicorn app.main:app`."""

import re

from pydantic import BaseModel

from app.api.v1 import api_router
from app.core.config import settings
from plinth.application import create_app
from plinth.http import Conventions, ErrorFormat, Failure

BY_CODE = {
    "unauthenticated": {"token": ["is missing"]},
    "wrong_credentials": {"credentials": ["invalid"]},
}
BY_STATUS = {403: "forbidden", 404: "not found", 409: "has already been taken"}
STATUSES = {"email_taken": 409, "username_taken": 409}


class Errors(BaseModel):
    errors: dict[str, list[str]]


def render(failure: Failure) -> Errors:
    found: dict[str, list[str]] = {}
    for fault in failure.fields:
        found.setdefault(str(fault.loc[-1]), []).append(fault.msg)
    name = re.sub("_(taken|denied|not_found)$", "", failure.code)
    whole = {name: [BY_STATUS.get(failure.status, failure.detail)]}
    return Errors(errors=found or BY_CODE.get(failure.code, whole))


shape = Conventions(ErrorFormat(render, Errors, statuses=STATUSES), scheme="Token")
app = create_app(api_router, conventions={settings.API_V1_PREFIX: shape})
