"""Schemas of what Kubernetes has no schemas for, as far as the chart uses it and as strict as the originals."""


def _object(required: list[str], **properties: object) -> dict:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _list(items: dict, least: int = 0) -> dict:
    return {"type": "array", "items": items, "minItems": least}


STRING = {"type": "string", "minLength": 1}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = _object(["name", "labels"], name=STRING, labels=STRINGS, annotations=STRINGS)
PROMETHEUS_DURATION = {"type": "string", "pattern": "^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 1}
# A duration of the Gateway API: GEP-2257.
GATEWAY_DURATION = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
HOSTNAME = {"type": "string", "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "maxLength": 253}


def _kind(api_version: str, kind: str, spec: dict) -> dict:
    return _object(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": api_version}, kind={"const": kind}, metadata=METADATA, spec=spec
    )


SCHEMAS = {
    "HTTPRoute": _kind(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        _object(
            ["parentRefs", "rules"],
            parentRefs=_list(_object(["name"], name=STRING, namespace=STRING, sectionName=STRING, port={"type": "integer"}), 1),
            hostnames=_list(HOSTNAME, 1),
            rules=_list(
                _object(
                    ["backendRefs"],
                    matches=_list(_object(["path"], path=_object(["type", "value"], type={"enum": ["Exact", "PathPrefix"]}, value=STRING)), 1),
                    backendRefs=_list(_object(["name", "port"], name=STRING, port={"type": "integer"}), 1),
                    timeouts=_object(["request"], request=GATEWAY_DURATION, backendRequest=GATEWAY_DURATION),
                ),
                1,
            ),
        ),
    ),
    "ServiceMonitor": _kind(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _object(
            ["selector", "endpoints"],
            jobLabel=STRING,
            selector=_object(["matchLabels"], matchLabels=STRINGS),
            endpoints=_list(_object(["port"], port=STRING, interval=PROMETHEUS_DURATION, scrapeTimeout=PROMETHEUS_DURATION), 1),
        ),
    ),
    "PrometheusRule": _kind(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _object(
            ["groups"],
            groups=_list(
                _object(
                    ["name", "rules"],
                    name=STRING,
                    interval=PROMETHEUS_DURATION,
                    rules=_list(
                        {
                            **_object(
                                ["expr"],
                                alert=STRING,
                                record={"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
                                expr={"type": ["string", "integer"]},
                                labels=STRINGS,
                                annotations=STRINGS,
                                keep_firing_for=PROMETHEUS_DURATION,
                                **{"for": PROMETHEUS_DURATION},
                            ),
                            "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
                        },
                        1,
                    ),
                ),
                1,
            ),
        ),
    ),
}
