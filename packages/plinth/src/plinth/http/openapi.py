"""The OpenAPI document, made true where FastAPI's own would differ from what is answered."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from plinth.http.problems import Problem, ValidationProblem, shaped


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": shaped("Problem")}


UNREADABLE_HEAD = {
    "414": _problem("URI Too Long"),
    "431": _problem("Request Header Fields Too Large"),
}
UNREADABLE_BODY = {"400": _problem("Bad Request"), "413": _problem("Content Too Large")}


def operation_id(route: APIRoute) -> str:
    """The function's name: short, stable, and what a generated client calls its method."""
    return route.name


def install(app: FastAPI) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _make(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _make(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    schemas["ValidationProblem"] = _inline(ValidationProblem.model_json_schema(), schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation.setdefault("security", [])  # open to anyone, and not forgotten
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            unreadable = UNREADABLE_HEAD
            if "requestBody" in operation:
                unreadable = UNREADABLE_BODY | unreadable
            operation["responses"] = unreadable | operation["responses"]
            if (invalid := operation["responses"].get("422")) is not None:
                invalid["content"] = shaped("ValidationProblem")
    return document


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or is not: there is no way to send null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _inline(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    schemas.update(schema.pop("$defs", {}))
    properties = schema["properties"]
    properties["errors"]["items"] = {"$ref": "#/components/schemas/FieldError"}
    return schema
