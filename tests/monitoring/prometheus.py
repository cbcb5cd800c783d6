"""A Prometheus that asks the nodes of the cluster, every second, and applies the rules."""

import json
import os
from pathlib import Path

import httpx
from binaries import find
from processes import Process, free_ports
from queries import MONITORING, Query


class Prometheus:
    def __init__(self, directory: Path):
        self.targets = [f"127.0.0.1:{port}" for port in os.environ["NATTER_TEST_CLUSTER_METRICS"].split()]
        nodes = directory / "nodes.json"
        nodes.write_text(json.dumps([{"targets": self.targets}]))
        # The configuration as it is delivered, but for the pace and for where things are.
        config = (MONITORING / "prometheus.yml").read_text()
        for delivered, here in (
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ("rules/*.yml", str(MONITORING / "rules/*.yml")),
            ("targets/*.yml", str(nodes)),
        ):
            assert config.count(delivered) == 1, delivered
            config = config.replace(delivered, here)
        (directory / "prometheus.yml").write_text(config)
        port = free_ports(1)[0]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.process = Process(
            "prometheus",
            [
                find("prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            directory / "prometheus.log",
        )
        self.process.await_ready(self.is_ready)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from error

    def query(self, text: str) -> list[dict]:
        """The series of an answer, now. What cannot be evaluated fails."""
        answer = self.http.post("/api/v1/query", data={"query": text}).json()
        assert answer["status"] == "success", f"{text}: {answer.get('error')}"
        return answer["data"]["result"]

    def value(self, text: str) -> float:
        """The value of a query with one answer, 0 without one."""
        found = self.query(text)
        return float(found[0]["value"][1]) if found else 0.0

    def rules(self, kind: str) -> dict[str, Query]:
        """The rules as they were read, each `alerting` or `recording`."""
        groups = self.http.get("/api/v1/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"] if rule["type"] == kind]
        return {rule["name"]: Query(rule["name"], rule["query"]) for rule in found}

    def alerts(self) -> list[dict]:
        return self.http.get("/api/v1/alerts").json()["data"]["alerts"]

    def end(self) -> None:
        self.process.end()
