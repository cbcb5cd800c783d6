"""Every query of every panel and rule, evaluated by a Prometheus that asks three nodes under load."""

import math
import re

import pytest
from load import Load
from prometheus import Prometheus
from queries import Query, panels, rules
from support.node import until

# How long the nodes may take to show all that is waited for; on a busy machine everything is slow.
PATIENCE = 240.0


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    prometheus, load = Prometheus(tmp_path_factory.mktemp("prometheus")), None
    try:
        load = Load()

        def is_seen() -> bool:
            assert not load.failed, load.failed
            return all(prometheus.value(text) > 0 for text in SEEN)

        until("what the load does is seen", is_seen, PATIENCE)
        yield prometheus
        assert not load.failed, load.failed
    finally:
        if load:
            load.end()
        prometheus.end()


# What has happened once the queries make sense: the slowest ways through the nodes.
SEEN = (
    "count(up{job='natter'} == 1) == bool 3",
    "sum(rate(natter_message_answers_total{outcome='stored'}[30s]))",
    "sum(rate(natter_delivery_duration_seconds_count{origin='elsewhere'}[30s]))",
    "sum(rate(natter_delivery_duration_seconds_count{origin='here'}[30s]))",
    "sum(rate(natter_media_operation_duration_seconds_count{operation='put'}[30s]))",
    "sum(rate(natter_http_requests_total{status='404'}[30s]))",
    "sum(rate(natter_login_failures_total[30s]))",
    "sum(rate(natter_disconnects_total[30s]))",
    "min(natter_cluster_nodes) == bool 3",
    "natter:commit_duration_seconds:p99_5m",
    "count(natter:send_failures:ratio_rate6h)",
)


@pytest.mark.parametrize("query", panels(), ids=str)
def test_a_panel_has_something_to_show(prometheus: Prometheus, query: Query):
    def answered() -> list[dict]:
        return [series for series in prometheus.query(query.evaluated) if is_number(series)]

    # A node that pauses for longer than the interval of the test has no rate for a moment.
    until(f"a number of {query.evaluated}", answered)


def is_number(series: dict) -> bool:
    return not math.isnan(float(series["value"][1]))


@pytest.mark.parametrize("name", rules("record"))
def test_a_recording_rule_records(prometheus: Prometheus, name: str):
    assert name in prometheus.rules("recording")
    until(f"{name} is recorded", lambda: prometheus.query(name))


@pytest.mark.parametrize("name", rules("alert"))
def test_an_alert_asks_for_series_that_nodes_tell(prometheus: Prometheus, name: str):
    query = prometheus.rules("alerting")[name]
    prometheus.query(query.evaluated)
    assert query.selectors
    for selector in query.selectors:
        until(f"a series of {selector}", lambda selector=selector: prometheus.query(selector))


def test_each_value_of_a_label_that_is_asked_for_exists(prometheus: Prometheus):
    """`reason=~"forged|malformd"` would match something, and never the half of what it is for."""
    asked = [*panels(), *prometheus.rules("alerting").values(), *prometheus.rules("recording").values()]
    for query in asked:
        for selector in query.selectors:
            name = selector.partition("{")[0]
            for label, values in re.findall(r'(\w+)=~"([\w|]+)"', selector):
                for value in values.split("|"):
                    assert prometheus.query(f'{name}{{{label}="{value}"}}'), f"{query}: no {label}={value} of {name}"


def test_no_alert_fires_while_all_is_well(prometheus: Prometheus):
    firing = [alert["labels"] for alert in prometheus.alerts() if alert["state"] == "firing"]
    assert MUST_NOT_FIRE <= set(rules("alert"))
    assert not {alert["alertname"] for alert in firing} & MUST_NOT_FIRE, firing


# Those that would say that something is broken, rather than that the machine of the test is slow.
MUST_NOT_FIRE = {
    "NatterNodeDown",
    "NatterNotReady",
    "NatterRestarts",
    "NatterBusDown",
    "NatterBusForged",
    "NatterClusterSplit",
    "NatterStoreMalformed",
    "NatterHttpFaults",
    "NatterInternalRefusals",
}
