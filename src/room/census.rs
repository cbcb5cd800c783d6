//! What is under way in the rooms of this node, counted for the operator when they ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Connection, Rooms, Scope, clerk, courier, inbox, outbox};
use crate::metrics::{Depth, Labels, SocketKind, Through, Transport};

impl Rooms {
    /// Counts connections, rooms, who is present, and what waits.
    pub fn take_census(&self) {
        self.count_rooms();
        self.count_connections();
        self.count_commands();
    }

    fn count_rooms(&self) {
        let rooms: Vec<_> = self.live().values().map(|entry| Arc::clone(&entry.room)).collect();
        let cluster = &self.0.metrics.cluster;
        cluster.live_rooms.set(whole(rooms.len()));
        let counts = rooms.iter().map(|room| room.shared.presence.counts());
        let (here, elsewhere) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        cluster.present.of(Through::Here).set(whole(here));
        cluster.present.of(Through::Elsewhere).set(whole(elsewhere));
        let pending = rooms.iter().map(|room| room.shared.pending.load(Ordering::Relaxed));
        let fullest = pending.max().unwrap_or_default();
        self.0.metrics.queues.filled(Depth::Writer, fullest, inbox::QUEUE);
    }

    fn count_connections(&self) {
        let connections = self.0.hub.all();
        let sockets = &self.0.metrics.sockets;
        sockets.users.set(whole(self.0.hub.users().len()));
        let labels: Vec<_> = connections.iter().map(|connection| labels_of(connection)).collect();
        for all in <(Transport, SocketKind)>::all() {
            let count = labels.iter().filter(|labels| **labels == all).count();
            sockets.open.of(all).set(whole(count));
        }
        let (mut bytes, mut asked) = (0, 0);
        for connection in &connections {
            bytes = bytes.max(connection.outbox.waiting_bytes());
            asked = asked.max(connection.questions.count());
        }
        let queues = &self.0.metrics.queues;
        queues.filled(Depth::OutgoingBytes, bytes, outbox::MAX_WAITING);
        queues.filled(Depth::Incoming, asked, super::INCOMING);
    }

    fn count_commands(&self) {
        let (fullest, errands) = self.0.ways.waiting();
        let queues = &self.0.metrics.queues;
        queues.filled(Depth::Courier, fullest, courier::QUEUE);
        queues.filled(Depth::Errands, errands, clerk::QUEUE);
    }
}

fn labels_of(connection: &Connection) -> (Transport, SocketKind) {
    let transport = match connection.outbox.is_polled() {
        true => Transport::Polling,
        false => Transport::Websocket,
    };
    let kind = match connection.scope {
        Scope::Room(_) => SocketKind::Room,
        Scope::Session => SocketKind::Session,
    };
    (transport, kind)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
