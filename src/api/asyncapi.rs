//! The document of the Socket.IO part: every event with its payload, from the types that are sent and read.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::*;

/// Who says an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

/// The document in the making.
#[derive(Default)]
struct Document {
    messages: Map<String, Value>,
    operations: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// AsyncAPI 3.0 of the namespace `/`.
pub fn document() -> Value {
    let mut document = Document::default();
    document.clients_events();
    document.lasting_events();
    document.other_events();
    let handshake = document.schema::<Handshake>();
    let messages: Map<String, Value> = document
        .messages
        .keys()
        .map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "natter, real time",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Socket.IO protocol 5 and 4, path /socket.io, WebSocket and polling. Order, gaps and resume: docs/PROTOCOL.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "localhost:8080", "pathname": "/socket.io", "protocol": "socketio"},
        },
        "channels": {
            "main": {
                "address": "/",
                "description": "The only namespace. `x-handshake` is the payload of its CONNECT.",
                "messages": messages,
                "x-handshake": handshake,
            },
        },
        "operations": document.operations,
        "components": {"messages": document.messages, "schemas": document.schemas},
    })
}

impl Document {
    fn clients_events(&mut self) {
        self.asked::<ChatRequest, ChatAnswer>("chat", "Say something.");
        self.asked::<MoreMessagesRequest, MoreMessagesAnswer<'_>>(
            "get_more_messages",
            "Page back.",
        );
        self.asked::<RoomRequest, OpenRoomAnswer>(
            "open_room",
            "Be present in a room, and see its newest page.",
        );
        self.asked::<RoomRequest, PlainAnswer>("close_room", "Be present in a room no longer.");
        self.asked::<TypingRequest, PlainAnswer>("typing", "The user is typing, or has stopped.");
        self.asked::<MarkReadRequest, MarkReadAnswer>(
            "mark_read",
            "The user has read up to a position.",
        );
    }

    fn lasting_events(&mut self) {
        self.lasting::<Chat>("chat", "Somebody said something.");
        self.lasting::<MemberCame>("member_added", "Somebody came into the room.");
        self.lasting::<MemberWent>(
            "member_removed",
            "Somebody is no longer in the room; they are told too, and nothing of it after.",
        );
        self.lasting::<RoomUpdated>(
            "room_updated",
            "The room has this name and this owner from now on.",
        );
        self.lasting::<MessagesCleared>(
            "messages_cleared",
            "Every message up to a position is gone.",
        );
        self.lasting::<NothingMore>(
            "message_gone",
            "In a replay: a message stood here and was deleted.",
        );
        self.lasting::<NothingMore>("room_deleted", "The last event of a room.");
    }

    fn other_events(&mut self) {
        self.told::<Joined>(
            "joined",
            "The first on a room socket: its history ends here, live begins behind it.",
        );
        self.told::<Ready>("ready", "The first on a session socket: each room is live from here.");
        self.told::<ResumeTruncated>(
            "resume_truncated",
            "Instead of a replay that is too long, or of another epoch.",
        );
        self.told::<Vec<MessageView>>(
            "initial_messages",
            "A room socket's last 50 messages, oldest first.",
        );
        self.told::<Vec<MessageView>>(
            "more_messages",
            "What `get_more_messages` asked for, oldest first.",
        );
        self.told::<Vec<String>>(
            "online_users",
            "The names of the others present, at most the first hundred.",
        );
        self.told::<Refusal>("error", "An event of this socket was refused.");
        self.told::<JoinSignal>("join", "Somebody became present in the room.");
        self.told::<LeaveSignal>(
            "leave",
            "Somebody's last connection to the room went, 10 to 15 s ago.",
        );
        self.told::<PresenceCount>(
            "presence_count",
            "Instead of join and leave above 100 people online.",
        );
        self.told::<TypingSignal>("typing", "Another person is typing, or has stopped.");
        self.told::<ReadMarkerSignal>("read_marker", "A member has read up to a position.");
        self.told::<JoinRequestView>("join_request", "To the owner: somebody asks to come in.");
        self.told::<JoinRequestView>(
            "join_request_handled",
            "To the requester and the owner: it was answered.",
        );
    }

    /// An event of the client, which is acknowledged.
    fn asked<Q: ToSchema, A: ToSchema>(&mut self, name: &str, summary: &str) {
        let payload = self.schema::<Q>();
        let fields = self.schema::<A>();
        let refused = self.schema::<RefusedAnswer>();
        let done =
            json!({"type": "object", "required": ["ok"], "properties": {"ok": {"const": true}}});
        let ack = json!({"oneOf": [{"allOf": [done, fields]}, refused]});
        self.add(
            From::Client,
            name,
            json!({"name": name, "summary": summary, "payload": payload, "x-ack": ack}),
        );
    }

    /// An event of the server that stands in the log.
    fn lasting<P: ToSchema>(&mut self, name: &str, summary: &str) {
        let parts = [self.schema::<Place>(), self.schema::<P>()];
        let message = json!({"name": name, "summary": summary, "payload": {"allOf": parts}, "x-lasting": true});
        self.add(From::Server, name, message);
    }

    /// Any other event of the server.
    fn told<P: PartialSchema + ToSchema>(&mut self, name: &str, summary: &str) {
        let payload = self.schema::<P>();
        self.add(From::Server, name, json!({"name": name, "summary": summary, "payload": payload}));
    }

    fn add(&mut self, from: From, name: &str, message: Value) {
        let (action, side) = match from {
            From::Client => ("receive", "client"),
            From::Server => ("send", "server"),
        };
        let key = format!("{side}.{name}");
        let operation = json!({
            "action": action,
            "channel": {"$ref": "#/channels/main"},
            "messages": [{"$ref": format!("#/channels/main/messages/{key}")}],
        });
        self.operations.insert(key.clone(), operation);
        self.messages.insert(key, message);
    }

    /// The schema of a type, by reference if it has a name of its own, which is defined on the way.
    fn schema<T: ToSchema>(&mut self) -> Value {
        let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
        T::schemas(&mut parts);
        for (name, schema) in parts {
            self.schemas.insert(name, to_json(&schema));
        }
        let schema = to_json(&T::schema());
        let name = T::name().into_owned();
        if schema["type"] == "array" || schema.get("$ref").is_some() {
            return schema;
        }
        self.schemas.insert(name.clone(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn to_json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("a schema is made of strings, numbers and maps")
}
