"""The application: `uvicorn app.main:app`."""

from app.api.v1 import api_router
from plinth.application import create_app

app = create_app(api_router)
