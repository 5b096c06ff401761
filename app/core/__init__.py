from app.core import lean  # noqa: F401 - before any module of it
