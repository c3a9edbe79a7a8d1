"""Write docs/http-reference.md to stdout: the requests of `resolver serve`, as OpenAPI has them.

.venv/bin/python .ci/http_reference.py > docs/http-reference.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resolver.doors.app import create_app
from resolver.settings import Settings

HEAD = """\
# HTTP reference

Each request of `resolver serve`, made from its OpenAPI description by `.ci/http_reference.py`. A
running server has the same as JSON at `/openapi.json`, and to try out at `/docs`. How it is used:
[HTTP](serve.md), [ROR's API](ror-api.md), [OpenRefine](openrefine.md).
"""

Schema = dict[str, Any]

DOORS = {
    "match": "Matching",
    "jobs": "Jobs",
    "ROR's API": "ROR's API",
    "reconcile": "OpenRefine",
    "health": "Health",
}
"""The headings, by the tags of the requests below them."""


def reference() -> str:
    described = create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
    lines = [HEAD]
    by_tag: dict[str, list[str]] = {tag: [] for tag in DOORS}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            by_tag[tag] += section(method.upper(), path, operation)
    for tag, heading in DOORS.items():
        lines += [f"## {heading}", "", *by_tag[tag]]
    lines += ["## Objects", ""]
    for name, schema in sorted(described["components"]["schemas"].items()):
        lines += of_object(name, schema)
    return "\n".join(lines)


def section(method: str, path: str, operation: Schema) -> Iterator[str]:
    yield from (f"### `{method} {path}`", "")
    for text in (operation.get("summary"), operation.get("description")):
        if text:
            yield from (text.strip(), "")
    parameters = operation.get("parameters", [])
    if parameters:
        yield from ("| Parameter | In | Type | Meaning |", "|---|---|---|---|")
        for parameter in parameters:
            needed = "" if not parameter.get("required") else "; needed"
            yield row(
                f"`{parameter['name']}`",
                parameter["in"] + needed,
                kind(parameter.get("schema", {})),
                parameter.get("description", ""),
            )
        yield ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from (f"Body: `{media}`, {kind(content.get('schema', {}))}", "")
    yield from ("| Status | Answer | Body |", "|---|---|---|")
    for status, response in operation["responses"].items():
        bodies = ", ".join(
            f"`{media}`: {kind(content.get('schema', {}))}"
            for media, content in response.get("content", {}).items()
        )
        yield row(status, response["description"].replace("Successful Response", "OK"), bodies)
    yield ""


def of_object(name: str, schema: Schema) -> Iterator[str]:
    yield from (f"### {name}", "")
    if schema.get("description"):
        yield from (" ".join(schema["description"].split()), "")
    fields = schema.get("properties", {})
    if fields:
        yield from ("| Field | Type | Meaning |", "|---|---|---|")
        for field, of_field in fields.items():
            needed = "needed" if field in schema.get("required", []) else ""
            yield row(f"`{field}`", kind(of_field), of_field.get("description", needed))
        yield ""


def kind(schema: Schema) -> str:
    """The type of a value, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(dict.fromkeys(map(kind, schema.get("anyOf", schema.get("oneOf")))))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    name = schema.get("format") or schema.get("type", "any")
    return f"list of {kind(schema.get('items', {}))}" if name == "array" else str(name)


def row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"


if __name__ == "__main__":
    print(reference(), end="")
