"""The OpenAPI document, corrected where FastAPI's differs from the actual responses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel

from plinth.config import settings
from plinth.http.problems import MEDIA_TYPE, Problem, ValidationProblem, problem_content
from plinth.http.routes import walk_routes
from plinth.request.conventions import DEFAULT, ByPrefix, Conventions, find_conventions
from plinth.request.cookies import ACCESS_COOKIE, CSRF_HEADER, TRANSPORT_HEADER, name_cookie

RouteKey = tuple[str, str]
"""The path and the method, in lower case."""
FindPermission = Callable[[Callable[..., Any]], str | None]
F = TypeVar("F", bound=Callable[..., Any])

REFERENCE = "#/components/schemas/"
OPTIONAL = "__optional_authentication__"
SESSION_COOKIE, CSRF_TOKEN, API_KEY = "sessionCookie", "csrfToken", "apiKey"
SAFE_METHODS = ("get", "head", "options")
FIRST_ERROR, INVALID = 400, 422


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": problem_content("Problem")}


UNREADABLE_HEAD = {
    "414": _problem("URI Too Long"),
    "431": _problem("Request Header Fields Too Large"),
}
UNREADABLE_BODY = {"400": _problem("Bad Request"), "413": _problem("Content Too Large")}


def operation_id(route: APIRoute) -> str:
    """Return the name of the function, which generated clients use as method name."""
    return route.name


def optional_authentication(dependency: F) -> F:
    """Mark a dependency that also accepts requests without authentication."""
    setattr(dependency, OPTIONAL, True)
    return dependency


def install(
    app: FastAPI,
    conventions: ByPrefix | None = None,
    *,
    find_permission: FindPermission = lambda _: None,
) -> None:
    """
    Args:
        find_permission: returns the permission of an endpoint, with which API keys can use it.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            permissions = _find_permissions(app, find_permission)
            app.openapi_schema = _make(app, conventions or {}, permissions)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _make(
    app: FastAPI, conventions: ByPrefix, permissions: Mapping[RouteKey, str]
) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    optional = _find_optional(app)
    for path, operations in document["paths"].items():
        chosen = find_conventions(conventions, path)
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            _describe_cookies(operation, is_safe=method in SAFE_METHODS)
            _describe_api_keys(operation, is_reached=(path, method) in permissions)
            _describe_errors(operation, chosen)
            _describe_security(operation, chosen, is_optional=(path, method) in optional)
    components = document.setdefault("components", {})
    _list_permissions(components.get("schemas"), sorted({*permissions.values()}))
    _define_schemas(document, components.setdefault("schemas", {}), conventions)
    _define_schemes(document, components, conventions)
    return document


def _describe_cookies(operation: dict[str, Any], *, is_safe: bool) -> None:
    """Add the cookie as a way to authenticate, and what a route with `Delivery` returns.

    Without `AUTH_COOKIES`, leave out the header that requests cookies.
    """
    parameters = operation.get("parameters", [])
    others = [it for it in parameters if it["name"] != TRANSPORT_HEADER]
    if not settings.AUTH_COOKIES:
        if len(others) < len(parameters):
            operation["parameters"] = others
        return
    if len(others) < len(parameters):
        operation["responses"].setdefault("204", {"description": "The session is in cookies"})
        operation["responses"].setdefault("400", _problem("Bad Request"))
        operation["responses"].setdefault("403", _problem("Forbidden"))
    if security := operation.get("security"):
        csrf: dict[str, list[str]] = {} if is_safe else {CSRF_TOKEN: []}
        operation["security"] = [*security, {SESSION_COOKIE: []} | csrf]
        if not is_safe:
            operation["responses"].setdefault("403", _problem("Forbidden"))


def _describe_api_keys(operation: dict[str, Any], *, is_reached: bool) -> None:
    """Add the key as a way to authenticate. Other private routes refuse it with 403."""
    if security := operation.get("security"):
        operation["responses"].setdefault("403", _problem("Forbidden"))
        if is_reached:
            operation["security"] = [*security, {API_KEY: []}]


def _describe_errors(operation: dict[str, Any], conventions: Conventions) -> None:
    unreadable = UNREADABLE_HEAD
    if "requestBody" in operation:
        unreadable = UNREADABLE_BODY | unreadable
    operation["responses"] = unreadable | operation["responses"]
    if (invalid := operation["responses"].get("422")) is not None:
        declared = invalid.get("content", {})
        if _refers_to(declared, "HTTPValidationError"):
            declared = {}
        invalid["content"] = declared | problem_content("ValidationProblem")
    if conventions.errors is None:
        return
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if int(status) >= FIRST_ERROR and MEDIA_TYPE in content:
            model = conventions.errors.model_for(int(status))
            schema = {"schema": {"$ref": REFERENCE + model.__name__}}
            others = {name: it for name, it in content.items() if name != MEDIA_TYPE}
            response_content = others | {conventions.errors.media_type: schema}
            operation["responses"][status] = {**response, "content": response_content}


def _describe_security(
    operation: dict[str, Any], conventions: Conventions, *, is_optional: bool
) -> None:
    security = operation.get("security", [])
    if conventions.scheme != DEFAULT.scheme and security:
        others = [it for it in security if SESSION_COOKIE in it or API_KEY in it]
        security = [{conventions.scheme: []}, *others]
    # An empty list states explicitly that no authentication is required.
    operation["security"] = [{}, *security] if is_optional and security else security


def _find_optional(app: FastAPI) -> set[RouteKey]:
    """Return the path and method of each route that does not require authentication."""
    return {
        (route.path_format or "", method.lower())
        for route in walk_routes(app)
        if not _requires_user(route.dependant)
        for method in route.methods or ()
    }


def _find_permissions(app: FastAPI, find_permission: FindPermission) -> dict[RouteKey, str]:
    """Return the permission of each route that declares one."""
    return {
        (route.path_format or "", method.lower()): permission
        for route in walk_routes(app)
        if route.endpoint and (permission := find_permission(route.endpoint))
        for method in route.methods or ()
    }


def _list_permissions(part: Any, permissions: Sequence[str]) -> None:
    """List the permissions of the application in each schema of one."""
    if isinstance(part, dict):
        if part.get("format") == "permission" and permissions:
            part["enum"] = permissions
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            _list_permissions(item, permissions)


def _requires_user(dependant: Dependant) -> bool:
    if getattr(dependant.call, OPTIONAL, False):
        return False
    return isinstance(dependant.call, SecurityBase) or any(
        map(_requires_user, dependant.dependencies)
    )


def _define_schemas(
    document: dict[str, Any], schemas: dict[str, Any], conventions: ByPrefix
) -> None:
    """Define only the schemas that the document refers to."""
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    models: list[type[BaseModel]] = [Problem, ValidationProblem]
    for errors in (it.errors for it in conventions.values() if it.errors):
        models += [errors.model_for(FIRST_ERROR), errors.model_for(INVALID)]
    used = {it.rpartition("/")[2] for it in find_references(document)}
    for model in models:
        if model.__name__ in used:
            _define(model, schemas)


def _define(model: type[BaseModel], schemas: dict[str, Any]) -> None:
    schema = model.model_json_schema(ref_template=REFERENCE + "{model}", mode="serialization")
    for name, definition in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        if schemas.setdefault(name, definition) != definition:
            raise ValueError(
                f"the OpenAPI document has two different schemas named {name}: rename the model"
                f" {model.__module__}.{model.__name__} of the conventions"
            )


def _define_schemes(
    document: dict[str, Any], components: dict[str, Any], conventions: ByPrefix
) -> None:
    schemes = components.get("securitySchemes", {})
    operations = [it for path in document["paths"].values() for it in path.values()]
    used = {name for operation in operations for it in operation["security"] for name in it}
    if settings.AUTH_COOKIES:
        cookie = name_cookie(ACCESS_COOKIE)
        schemes[SESSION_COOKIE] = {"type": "apiKey", "in": "cookie", "name": cookie}
        schemes[CSRF_TOKEN] = {"type": "apiKey", "in": "header", "name": CSRF_HEADER}
    schemes[API_KEY] = {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key of `POST /users/me/api-keys`, also accepted as a bearer token.",
    }
    custom = {it.scheme for it in conventions.values()} - {DEFAULT.scheme}
    for scheme in custom & used:
        schemes[scheme] = {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`{scheme}`, a space and the access token.",
        }
    for name in [*schemes]:
        if name not in used:
            del schemes[name]
        elif (url := _token_url(schemes[name])) and not _has_path(url, document):
            schemes[name] = {"type": "http", "scheme": "bearer"}


def _token_url(scheme: dict[str, Any]) -> str | None:
    url: str | None = scheme.get("flows", {}).get("password", {}).get("tokenUrl")
    return url


def _has_path(url: str, document: dict[str, Any]) -> bool:
    return any(url.endswith(path) for path in document["paths"])


def _refers_to(content: dict[str, Any], schema: str) -> bool:
    return any(it.get("schema", {}).get("$ref") == REFERENCE + schema for it in content.values())


def find_references(part: Any) -> Iterator[str]:
    """Yield every `$ref` in a part of a document."""
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for value in part.values():
            yield from find_references(value)
    elif isinstance(part, list):
        for value in part:
            yield from find_references(value)


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from the schema of a parameter: a client can omit it, but cannot send null."""
    types = [it for it in schema.get("anyOf", ()) if it != {"type": "null"}]
    if len(types) != 1:
        return schema
    return {**types[0], **{name: value for name, value in schema.items() if name != "anyOf"}}
