"""The OpenAPI document as one plain page: no script, no network, readable on paper."""

from __future__ import annotations

import json
from html import escape
from typing import Any

STYLE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
details { border: 1px solid #8884; border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
summary b { display: inline-block; min-width: 4.5rem; }
pre { overflow-x: auto; background: #8881; padding: .6rem; border-radius: .4rem; font-size: .85rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
:root { color-scheme: light dark; }
"""


def render(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    sections: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            sections.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in sections.items())
    info = document["info"]
    schemas = "".join(
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_json(schema)}</details>'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} {escape(info['version'])}: reference</title><style>{STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>{_paragraphs(info['description'])}"
        f'<p>For machines: <a href="/openapi.json">openapi.json</a>.</p>{body}<h2>Schemas</h2>{schemas}</html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><th>{escape(p['name'])}</th><td>{escape(p['in'])}</td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><th>{escape(status)}</th><td>{escape(answer['description'])}</td><td>{_schema_link(answer)}</td></tr>"
        for status, answer in sorted(operation["responses"].items())
    )
    body = "".join(
        f"<h4>Body: {escape(media_type)}</h4>{_schema_link({'content': {media_type: content}}) or _json(content)}"
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method.upper()}</b> {escape(path)}</summary>'
        f"{_paragraphs(operation.get('description', ''))}"
        f"{f'<table>{parameters}</table>' if parameters else ''}{body}"
        f"<h4>Answers</h4><table>{answers}</table></details>"
    )


def _schema_link(answer: dict[str, Any]) -> str:
    names = [content["schema"]["$ref"].rpartition("/")[2] for content in answer.get("content", {}).values()
             if "$ref" in content.get("schema", {})]  # fmt: skip
    return ", ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names)


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.strip().split("\n\n"))


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
