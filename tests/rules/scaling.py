"""The model behind docs/SCALING.md: what a cluster has to carry, from how people use it. `python tests/rules/scaling.py` prints the tables."""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Use:
    """How people use it, in a busy hour."""

    connections_per_node: int = 10_000  # one a person
    rooms_per_person: float = 20
    online_per_room: int = 10  # members of a room who are online, on average
    messages_per_person_minute: float = 1
    frame_bytes: int = 800  # an event on the bus: text, names, keys, seal
    event_bytes: int = 500  # the same event to a client
    request_bytes: int = 900  # a message on its way to the owner of its room
    heartbeat_bytes: int = 250
    heartbeat_seconds: float = 2
    stays_per_person_hour: float = 0.1  # coming into a room, or going for good


@dataclass(frozen=True)
class Costs:
    """What things cost, in microseconds of one core; where they come from is in docs/SCALING.md."""

    delivery: float = 2.5
    message_at_node: float = 100
    message_in_database: float = 100
    shard_cores: float = 8  # of a primary, for appends


@dataclass(frozen=True)
class Load:
    """What a cluster has to carry."""

    nodes: int
    people: float
    rooms: float
    messages: float  # a second, as all below
    deliveries: float
    nodes_of_room: float
    subscriptions_of_node: float
    subscriptions: float
    frames: float  # that the bus hands out
    forwarded: float
    bus_bytes: float
    bus_bytes_of_node: float
    heartbeats: float
    client_bytes_of_node: float
    node_cores: float
    database_cores: float
    shards: int
    polls: float  # of the store, by the jobs that look each second
    stays_read: float


def nodes_of_room(nodes: int, online: int) -> float:
    """On how many nodes a room has somebody, if a balancer places people at random."""
    return nodes * (1 - (1 - 1 / nodes) ** online)


def load(nodes: int, use: Use = Use(), costs: Costs = Costs()) -> Load:
    people = nodes * use.connections_per_node
    rooms = people * use.rooms_per_person / use.online_per_room
    messages = people * use.messages_per_person_minute / 60
    deliveries = messages * use.online_per_room
    spread = nodes_of_room(nodes, use.online_per_room)
    subscriptions = rooms * spread + people  # and one for each person
    frames = messages * spread
    forwarded = messages * (1 - 1 / nodes)  # somebody else owns the room
    heartbeats = nodes * nodes / use.heartbeat_seconds
    # In and out of the bus: once published, and handed to each node that listens. A request has a receipt and an answer.
    requests = forwarded * 2 * (use.request_bytes + use.frame_bytes)
    bus = (messages + frames) * use.frame_bytes + requests + (heartbeats + nodes / use.heartbeat_seconds) * use.heartbeat_bytes
    stays = people * use.stays_per_person_hour / 3600
    node_cores = (deliveries * costs.delivery + messages * costs.message_at_node) / nodes / 1e6
    database_cores = messages * costs.message_in_database / 1e6
    return Load(
        nodes=nodes,
        people=people,
        rooms=rooms,
        messages=messages,
        deliveries=deliveries,
        nodes_of_room=spread,
        subscriptions_of_node=subscriptions / nodes,
        subscriptions=subscriptions,
        frames=frames,
        forwarded=forwarded,
        bus_bytes=bus,
        bus_bytes_of_node=bus / nodes,
        heartbeats=heartbeats,
        client_bytes_of_node=deliveries * use.event_bytes / nodes,
        node_cores=node_cores,
        database_cores=database_cores,
        shards=ceil(database_cores / costs.shard_cores),
        polls=2.0 * nodes,
        stays_read=stays * nodes,
    )


def shown(value: float, unit: str = "") -> str:
    """Three digits and what they are thousands of."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor * 0.9995:
            return f"{value / factor:.3g} {letter}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


ROWS = (
    ("people online", lambda load: shown(load.people)),
    ("rooms in use", lambda load: shown(load.rooms)),
    ("messages/s", lambda load: shown(load.messages)),
    ("deliveries/s", lambda load: shown(load.deliveries)),
    ("nodes that a room is on", lambda load: shown(load.nodes_of_room)),
    ("subscriptions of a node", lambda load: shown(load.subscriptions_of_node)),
    ("subscriptions on the bus", lambda load: shown(load.subscriptions)),
    ("frames/s that the bus hands out", lambda load: shown(load.frames)),
    ("messages/s that go to another owner", lambda load: shown(load.forwarded)),
    ("heartbeats/s that the bus hands out", lambda load: shown(load.heartbeats)),
    ("bus, in and out", lambda load: shown(load.bus_bytes, "B/s")),
    ("bus link of a node", lambda load: shown(load.bus_bytes_of_node, "B/s")),
    ("to the clients of a node", lambda load: shown(load.client_bytes_of_node, "B/s")),
    ("cores of a node that are busy", lambda load: shown(load.node_cores)),
    ("cores of the database for appends", lambda load: shown(load.database_cores)),
    ("shards at 8 such cores", lambda load: str(load.shards)),
    ("looks into the store/s by nodes", lambda load: shown(load.polls)),
    ("stays/s that all nodes together read", lambda load: shown(load.stays_read)),
)


def table() -> str:
    """The table of docs/SCALING.md."""
    loads = [load(nodes) for nodes in (10, 100, 1000)]
    lines = ["| | 10 nodes | 100 nodes | 1,000 nodes |", "| --- | --- | --- | --- |"]
    lines += [f"| {title} | " + " | ".join(cell(one) for one in loads) + " |" for title, cell in ROWS]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
