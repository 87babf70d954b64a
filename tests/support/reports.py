"""What a command printed for machines, held to the schema in docs/."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


@cache
def _schema() -> Any:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def report_of(text: str) -> dict[str, Any]:
    """One JSON object that has the form the schema gives its type."""
    report: dict[str, Any] = json.loads(text)
    kinds = _schema()["$defs"]
    jsonschema.validate(report, {**_schema(), "oneOf": [{"$ref": f"#/$defs/{report['type']}"}]})
    assert report["type"] in kinds
    return report


def reports_of(text: str) -> list[dict[str, Any]]:
    """One object a line."""
    return [report_of(line) for line in text.splitlines()]
