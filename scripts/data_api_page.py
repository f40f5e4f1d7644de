"""Writes `docs/reference/data-api.md`: the gateway's HTTP API, from its OpenAPI description.

Run `python -m scripts.data_api_page` after a change in `src/gateway/arguments.rs` or `src/gateway/http/openapi.rs`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connect.eaas.mongodb import _native

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "data-api.md"

# A parameter that contains JSON.
JSON = {"type": "JSON"}

INTRODUCTION = """\
# HTTP API of the gateway

The requests that `connect-mongodb gateway` answers, with the fields of their bodies. The gateway describes itself at
`/openapi.json`, of which this is a table, and at `/docs`. Paths may have a prefix, such as
`/app/data-abcde/endpoint/data/v1`. [Run a gateway](../gateway.md) describes credentials, permissions and settings, and
[Coming from Atlas](../from-atlas.md) what differs from Atlas.

```sh
curl https://gateway.example.com:8443/action/findOne \\
  -H 'api-key: …' -H 'Content-Type: application/json' \\
  -d '{"dataSource": "Cluster0", "database": "shop", "collection": "orders", "filter": {"_id": "A-1"}}'
```
"""


def text() -> str:
    """The page."""
    description = json.loads(_native.gateway_openapi())
    parts = [INTRODUCTION]
    codes: dict[str, str] = {}
    for path, methods in sorted(description["paths"].items()):
        for method in ("get", "post", "delete"):
            if operation := methods.get(method):
                parts += _operation(f"{method.upper()} {path}", operation)
                for code, response in operation["responses"].items():
                    if code >= "400":
                        codes.setdefault(code, response["description"])
    parts.append("## Errors\n\nThe body of an error is JSON with `error`, `error_code` and `link`.\n")
    parts.append("| status | meaning |\n| --- | --- |")
    parts += [f"| {code} | {codes[code]} |" for code in sorted(codes)]
    return "\n".join(parts).rstrip() + "\n"


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## `{title}`\n"
    yield f"{operation['summary']}\n"
    if "description" in operation:
        yield f"{operation['description']}\n"
    yield from _fields("field", _schema(operation.get("requestBody", {})))
    rows = []
    for each in operation.get("parameters", []):
        required = "yes" if each.get("required") else ""
        rows.append(f"| `{each['name']}` | {each['in']} | {_kind(each.get('schema', JSON))} | {required} |")
    if rows:
        yield "\n".join(["| parameter | in | type | required |", "| --- | --- | --- | --- |", *rows]) + "\n"
    for code, response in operation["responses"].items():
        if code < "300":
            yield from _fields(f"field of the response, {code}", _schema(response))


def _schema(message: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body: that of its first media type, since all have the same."""
    schema: dict[str, Any] = {}
    for content in message.get("content", {}).values():
        schema = content.get("schema", {})
        break
    return schema


def _fields(title: str, schema: dict[str, Any]) -> Iterator[str]:
    fields = schema.get("properties", {})
    if not fields:
        return
    required = schema.get("required", [])
    yield f"| {title} | type | required |\n| --- | --- | --- |"
    for name in sorted(fields, key=lambda each: (each not in required, each)):
        yield f"| `{name}` | {_kind(fields[name])} | {'yes' if name in required else ''} |"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(_kind(each) for each in choices)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if words == "array" and "items" in schema:
        return f"array of {_kind(schema['items'])}"
    default = f", `{json.dumps(schema['default'])}` by default" if "default" in schema else ""
    return words + default


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
