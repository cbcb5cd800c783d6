"""docs/SCALING.md says what the model says, and the model what a simulation counts."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import scaling

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_has_the_table_of_the_model():
    assert scaling.table() in (ROOT / "docs/SCALING.md").read_text()


@pytest.mark.parametrize("nodes", [10, 100, 1000])
def test_the_model_counts_what_a_simulation_counts(nodes: int):
    """People come to random nodes and into random rooms and talk; every node, room and message is there one by one."""
    use = replace(scaling.Use(), connections_per_node=max(20_000 // nodes, 20))
    expected = scaling.load(nodes, use)
    chance = Random(nodes)
    people, rooms = int(expected.people), int(expected.rooms)
    node_of = [chance.randrange(nodes) for _ in range(people)]
    owner_of = [chance.randrange(nodes) for _ in range(rooms)]
    members = [chance.choices(range(people), k=use.online_per_room) for _ in range(rooms)]
    serving = [{node_of[person] for person in room} for room in members]

    subscriptions = sum(len(served) for served in serving) + people
    assert subscriptions == pytest.approx(expected.subscriptions, rel=0.02)

    frames = deliveries = forwarded = 0
    seconds = 60_000 / expected.messages  # as many messages as make chance small
    said = int(expected.messages * seconds)
    for _ in range(said):
        room = chance.randrange(rooms)
        frames += len(serving[room])
        deliveries += len(members[room])
        forwarded += node_of[chance.choice(members[room])] != owner_of[room]
    assert frames / seconds == pytest.approx(expected.frames, rel=0.02)
    assert deliveries / seconds == pytest.approx(expected.deliveries, rel=0.02)
    assert forwarded / seconds == pytest.approx(expected.forwarded, rel=0.02)

    heard = sum(nodes for _ in range(nodes)) / use.heartbeat_seconds
    assert heard == expected.heartbeats


def test_a_room_is_on_no_more_nodes_than_there_are_and_no_more_than_people_in_it():
    for nodes in (1, 2, 10, 1000):
        for online in (1, 2, 10, 5000):
            found = scaling.nodes_of_room(nodes, online)
            assert 1 - 1e-9 <= found <= min(nodes, online) + 1e-9
    assert scaling.nodes_of_room(1, 7) == 1


def test_numbers_are_shown_with_three_digits():
    for value, text in ((1, "1"), (999.6, "1 k"), (16_666.7, "16.7 k"), (2e6, "2 M"), (1.6e11, "160 G")):
        assert scaling.shown(value) == text
