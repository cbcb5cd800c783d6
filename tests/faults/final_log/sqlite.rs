//! The log in the file of an embedded store.

use std::path::Path;

use rusqlite::Connection;

use super::{given, hex, kind};
use crate::history::{Entry, Replica};

/// Reads the log of a file that no node has open, and checks that the file is sound.
pub(crate) fn read(file: &Path) -> Replica {
    let conn = Connection::open(file).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{}", file.display());
    let query = "SELECT room, seq, sender, client_id, kind, body FROM events ORDER BY room, seq";
    let mut found = conn.prepare(query).unwrap();
    let mut rows = found.query([]).unwrap();
    let mut replica = Replica { name: file.display().to_string(), ..Replica::default() };
    while let Some(row) = rows.next().unwrap() {
        let room = hex(&row.get::<_, Vec<u8>>(0).unwrap());
        let sender = hex(&row.get::<_, Vec<u8>>(2).unwrap());
        let body: Option<String> = row.get(5).unwrap();
        let entry = Entry {
            seq: row.get::<_, i64>(1).unwrap().cast_unsigned(),
            sender,
            client_id: given(row.get(3).unwrap()),
            kind: kind(&row.get::<_, String>(4).unwrap(), body.as_deref()),
        };
        replica.rooms.entry(room).or_default().push(entry);
    }
    replica
}
