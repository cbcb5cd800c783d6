-- Ids are 12 bytes, times milliseconds since 1970, flags 0 or 1.

-- Facts about the store itself: its epoch, when it was last found writable.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- A deleted account keeps its row, without anything personal, for the rooms that name it.
CREATE TABLE users (
    id              BLOB PRIMARY KEY CHECK (length(id) = 12),
    email           TEXT NOT NULL,
    email_folded    TEXT UNIQUE,
    username        TEXT NOT NULL,
    username_folded TEXT UNIQUE,
    password_hash   TEXT NOT NULL,
    is_admin        INTEGER NOT NULL,
    is_disabled     INTEGER NOT NULL,
    is_deleted      INTEGER NOT NULL DEFAULT 0,
    generation      INTEGER NOT NULL DEFAULT 0,
    online_until    INTEGER,
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    -- What tells of them is being taken out of the logs, their words (0) or all but those (1).
    keeps_words     INTEGER
) WITHOUT ROWID;

CREATE INDEX users_revoked ON users (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX users_erasing ON users (id) WHERE keeps_words IS NOT NULL;
CREATE INDEX users_deleted ON users (id) WHERE is_deleted = 1;
CREATE INDEX users_admins ON users (id) WHERE is_admin = 1 AND is_disabled = 0 AND is_deleted = 0;

-- Everything but the pair, created_at and retention is derived from the log. A deleted room keeps its row, which ends its log.
CREATE TABLE rooms (
    id             BLOB PRIMARY KEY CHECK (length(id) = 12),
    name           TEXT NOT NULL,
    is_group       INTEGER NOT NULL,
    is_deleted     INTEGER NOT NULL DEFAULT 0,
    owner          BLOB NOT NULL REFERENCES users (id),
    pair_low       BLOB,
    pair_high      BLOB,
    created_at     INTEGER NOT NULL,
    last_activity  INTEGER NOT NULL,
    tail_seq       INTEGER NOT NULL DEFAULT 0,
    tail_ordinal   INTEGER NOT NULL DEFAULT 0,
    tail_timestamp INTEGER NOT NULL DEFAULT 0,
    -- Messages up to here are gone to every reader; their rows are blanked up to wiped_through.
    cleared_through INTEGER NOT NULL DEFAULT 0,
    wiped_through   INTEGER NOT NULL DEFAULT 0,
    -- Days that the log is kept, 0 for ever, NULL as the server says.
    retention      INTEGER,
    -- The log up to here is gone, but for its newest event.
    floor_seq      INTEGER NOT NULL DEFAULT 0,
    floor_ordinal  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE UNIQUE INDEX rooms_pair ON rooms (pair_low, pair_high) WHERE pair_low IS NOT NULL AND is_deleted = 0;
CREATE INDEX rooms_kind ON rooms (is_group, id) WHERE is_deleted = 0;
CREATE INDEX rooms_unwiped ON rooms (id) WHERE wiped_through < cleared_through;
CREATE INDEX rooms_owner ON rooms (owner, id) WHERE is_group = 1 AND is_deleted = 0;

-- The log. The rows of a room lie together, so a page of it is a few pages of the file.
CREATE TABLE events (
    room       BLOB NOT NULL REFERENCES rooms (id),
    seq        INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    sender     BLOB NOT NULL,
    nonce      BLOB NOT NULL,
    client_id  TEXT,
    timestamp  INTEGER NOT NULL,
    body       TEXT,
    digest     BLOB,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX events_client_id ON events (room, sender, client_id) WHERE client_id IS NOT NULL;
-- Messages of which something is left: pages never walk over what lies between, however much it is.
CREATE INDEX events_messages ON events (room, seq) WHERE kind = 'message';
-- Beginnings and ends of stays, by which a node learns of what it has not heard.
CREATE INDEX events_stays ON events (timestamp, room, seq) WHERE kind IN ('member_added', 'member_removed', 'room_deleted');
CREATE INDEX events_newest ON events (timestamp, room, seq) WHERE kind = 'message';

CREATE TABLE memberships (
    room         BLOB NOT NULL REFERENCES rooms (id),
    user         BLOB NOT NULL REFERENCES users (id),
    id           BLOB NOT NULL UNIQUE CHECK (length(id) = 12),
    role         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    read_seq     INTEGER NOT NULL,
    read_ordinal INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;

CREATE INDEX memberships_user ON memberships (user, room);

CREATE TABLE join_requests (
    id         BLOB PRIMARY KEY CHECK (length(id) = 12),
    room       BLOB NOT NULL REFERENCES rooms (id),
    user       BLOB NOT NULL REFERENCES users (id),
    message    TEXT,
    approved   INTEGER,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX join_requests_open ON join_requests (room, user) WHERE approved IS NULL;
CREATE INDEX join_requests_room ON join_requests (room, id);
CREATE INDEX join_requests_user ON join_requests (user);

-- `client_id` and `attached_at` tell which message has it and since when, `seq` where that message is in the log.
CREATE TABLE uploads (
    id            BLOB PRIMARY KEY CHECK (length(id) = 12),
    room          BLOB NOT NULL REFERENCES rooms (id),
    owner         BLOB NOT NULL REFERENCES users (id),
    state         TEXT NOT NULL,
    client_id     TEXT,
    attached_at   INTEGER,
    seq           INTEGER,
    sha256        BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    file_name     TEXT NOT NULL,
    size          INTEGER NOT NULL,
    content_type  TEXT NOT NULL,
    width         INTEGER,
    height        INTEGER,
    has_thumbnail INTEGER
) WITHOUT ROWID;

CREATE INDEX uploads_loose ON uploads (created_at) WHERE seq IS NULL;
CREATE INDEX uploads_room ON uploads (room, seq);
