"""The private names of other libraries that this code uses, and the versions it was tested with.

Libraries may change private names in any release. With other than the tested versions, the fast
paths are off (`config/fast_paths.py`), so that a security release can be installed at once. To add
a new version, install it, run `make check test-fastapi`, then raise the bound.
`packages/plinth/tests/core/test_private_names.py` compares this list with the source.
"""

# The lowest and highest tested versions, inclusive.
TESTED = {
    "fastapi": ("0.165.0", "0.165.0"),
    "starlette": ("1.10.0", "1.10.0"),
    "sqlalchemy": ("2.1.9", "2.1.9"),
}

# By module. An attribute is written as `Class.name`.
FAST_PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "plinth/http/dispatch": {
        "fastapi._body_limit": ("get_body_limit_error",),
        "fastapi._compat": (
            "ModelField", "ModelField._type_adapter", "field_annotation_is_sequence",
            "get_missing_field_error",
        ),
        "fastapi.dependencies.models": (
            "_get_cache_key", "_get_oauth_scopes", "_is_async_gen_callable",
            "_is_coroutine_callable", "_is_gen_callable",
        ),
        "fastapi.dependencies.utils": (
            "_get_form_models", "_get_param_model", "_should_embed_body_fields",
            "_solve_generator", "_validate_value_with_model_field",
        ),
        "fastapi.routing": (
            "_EffectiveRouteContext", "_EffectiveRouteContext.matches",
            "_IncludedRouter", "_IncludedRouter._handle_selected", "_IncludedRouter._match",
            "_IncludedRouter.effective_candidates", "_extract_endpoint_context",
        ),
        "starlette._exception_handler": ("wrap_app_handling_exceptions",),
        "starlette.middleware.exceptions": (
            "ExceptionMiddleware._exception_handlers", "ExceptionMiddleware._status_handlers",
        ),
        "starlette.requests": ("Request._body", "Request._json"),
    },
    "plinth/db/engine.py": {
        "sqlalchemy.pool": (
            "QueuePool._dec_overflow", "QueuePool._do_get", "QueuePool._do_return_conn",
            "QueuePool._invalidate", "QueuePool._overflow", "QueuePool._pool",
        ),
    },
    "plinth/db/reading/query.py": {
        "sqlalchemy.sql.compiler": ("SQLCompiler._bind_processors",),
        "sqlalchemy.types": ("TypeEngine._cached_result_processor",),
    },
}  # fmt: skip

# Outside the fast paths, where the library offers no public alternative.
ELSEWHERE: dict[str, dict[str, tuple[str, ...]]] = {
    "plinth/admin/table.py": {
        "starlette_admin.contrib.sqla.converters": ("ModelConverter._field_common",),
    },
    "plinth/http/protocol.py": {
        "uvicorn.protocols.http.httptools_impl": (
            "HttpToolsProtocol._should_upgrade", "HttpToolsProtocol._unset_keepalive_if_required",
        ),
    },
    "plinth/request/cookies.py": {"http.cookies": ("_unquote",)},
    "plinth/db/driver.py": {"asyncpg": ("Connection._config", "Connection._transport")},
}  # fmt: skip
