"""The dashboard and the alerts name only metrics and labels that the application has."""

import json
import re
from typing import Any

import pytest
import yaml
from httpx2 import AsyncClient

from plinth.db.database import Database
from plinth.observability import metrics
from tests.support.environment import ROOT
from tests.support.metrics import scrape, shown_metrics

BOARD = json.loads((ROOT / "deploy/grafana/plinth.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
GUIDE = (ROOT / "docs/how-to/observability.md").read_text()

PROMETHEUS_OWN = {"up": set[str]()}
OF_THE_SCRAPE = {"job", "instance", "le"}
WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"(?<![\w$])([a-zA-Z_:][\w:]*)\s*(\(|\{[^}]*\})?")


def expressions() -> list[str]:
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for rule in ALERTS]


def read_selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Yield each metric name of a PromQL expression with its labels."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    grouped = {name.strip() for names in GROUPING.findall(text) for name in names.split(",")} - {""}
    found = []
    for name, follows in SELECTOR.findall(GROUPING.sub(" ", text)):
        if follows != "(" and name not in WORDS:
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", follows))
            found.append((name, asked if name in PROMETHEUS_OWN else asked | grouped))
    return found


def test_read_selectors_parses_promql() -> None:
    expression = 'sum by (le, x) (rate(a_total{b="c{d}", e=~"f"}[5m] offset 1h)) / on () max(g) > 3'
    assert read_selectors(expression) == [("a_total", {"b", "e", "le", "x"}), ("g", {"le", "x"})]


async def exported(client: AsyncClient, database: Database) -> dict[str, set[str]]:
    await client.get("/health")  # so that metrics with labels have a series
    metrics.limits_hit.labels("login-ip")
    metrics.retention_deleted.labels("sessions")
    async with shown_metrics(database) as port:
        return (await scrape(port)).labels


async def test_expressions_name_only_existing_metrics_and_labels(
    client: AsyncClient, database: Database
) -> None:
    known = await exported(client, database) | PROMETHEUS_OWN
    assert len(expressions()) > 40
    for expression in expressions():
        selectors = read_selectors(expression)
        assert selectors, expression
        for name, labels in selectors:
            assert name in known, f"no metric {name}: {expression}"
            unknown = labels - known[name] - OF_THE_SCRAPE
            assert not unknown, f"{name} has no label {unknown}: {expression}"


async def test_each_metric_is_shown_and_documented(client: AsyncClient, database: Database) -> None:
    used = {name for expression in expressions() for name, _ in read_selectors(expression)}
    queries = json.dumps(BOARD["templating"])
    for name in await exported(client, database):
        base = re.sub(r"_(bucket|sum|count|created|total)$", "", name)
        if name.startswith("plinth_"):
            shown = base in queries or any(it.startswith(base) for it in used)
            assert shown, f"nothing shows {name}"
            assert base in GUIDE, f"explain {base} in docs/how-to/observability.md"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_alert_has_severity_summary_and_documentation(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert f"### {rule['alert']}" in GUIDE, (
        "docs/how-to/observability.md says what to do about each alert"
    )


def test_panels_do_not_overlap() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    spots = {
        (x, y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }
    area = sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in BOARD["panels"])
    assert len(spots) == area, "panels lie on one another"
