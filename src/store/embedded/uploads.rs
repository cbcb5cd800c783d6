//! What is known of uploads, in SQLite.

use async_trait::async_trait;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Embedded;
use super::column::Count;
use crate::domain::attachment::Upload;
use crate::domain::{
    Attachment, AttachmentId, AttachmentState, ClientId, ImageSize, RoomId, Timestamp, UserId,
};
use crate::store::{Conflict, Result, StoreError, UploadStore};

impl ToSql for AttachmentState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Unattached => "unattached",
            Self::Attached => "attached",
            Self::Deleting => "deleting",
        }))
    }
}

impl FromSql for AttachmentState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "unattached" => Ok(Self::Unattached),
            "attached" => Ok(Self::Attached),
            "deleting" => Ok(Self::Deleting),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

fn upload_at(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let image = match row.get(9)? {
        None => None,
        Some(width) => Some(ImageSize { width, height: row.get(10)?, has_thumbnail: row.get(11)? }),
    };
    Ok(Upload {
        attachment: Attachment {
            id: row.get(0)?,
            file_name: row.get(6)?,
            size: row.get::<_, Count>(7)?.0,
            content_type: row.get(8)?,
            image,
        },
        room: row.get(1)?,
        owner: row.get(2)?,
        state: row.get(3)?,
        sha256: row.get(4)?,
        created_at: row.get(5)?,
    })
}

#[async_trait]
impl UploadStore for Embedded {
    async fn create_upload(&self, upload: Upload) -> Result<()> {
        self.write(move |conn| create(conn, &upload)).await
    }

    async fn upload(&self, id: AttachmentId) -> Result<Option<Upload>> {
        self.read(move |conn| Ok(find(conn, id)?)).await
    }

    async fn attach(
        &self,
        id: AttachmentId,
        room: RoomId,
        owner: UserId,
        client_id: &ClientId,
    ) -> Result<Upload> {
        let client_id = client_id.clone();
        self.write(move |conn| attach(conn, id, (room, owner), &client_id)).await
    }

    async fn detach(&self, id: AttachmentId, client_id: &ClientId) -> Result<()> {
        let client_id = client_id.clone();
        // One whose message is in the log stays: the refusal was of another attempt.
        let sql = "UPDATE uploads SET state = 'unattached', client_id = NULL, attached_at = NULL
                   WHERE id = ?1 AND client_id = ?2 AND state = 'attached' AND seq IS NULL";
        self.write(move |conn| Ok(conn.prepare_cached(sql)?.execute((id, client_id)).map(drop)?))
            .await
    }

    async fn claim_uploads(&self, before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>> {
        self.write(move |conn| claim(conn, before, limit)).await
    }

    async fn remove_upload(&self, id: AttachmentId) -> Result<()> {
        let sql = "DELETE FROM uploads WHERE id = ?1 AND state = 'deleting'";
        self.write(move |conn| Ok(conn.prepare_cached(sql)?.execute([id]).map(drop)?)).await
    }
}

fn create(conn: &Connection, upload: &Upload) -> Result<()> {
    let sql = "INSERT INTO uploads (id, room, owner, state, sha256, created_at, file_name, size,
                                    content_type, width, height, has_thumbnail)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let file = &upload.attachment;
    conn.prepare_cached(sql)?.execute(params![
        file.id,
        upload.room,
        upload.owner,
        upload.state,
        upload.sha256,
        upload.created_at,
        file.file_name,
        Count(file.size),
        file.content_type,
        file.image.map(|image| image.width),
        file.image.map(|image| image.height),
        file.image.map(|image| image.has_thumbnail),
    ])?;
    Ok(())
}

fn find(conn: &Connection, id: AttachmentId) -> rusqlite::Result<Option<Upload>> {
    let sql = "SELECT id, room, owner, state, sha256, created_at, file_name, size, content_type,
                      width, height, has_thumbnail
               FROM uploads WHERE id = ?1";
    conn.prepare_cached(sql)?.query_row([id], upload_at).optional()
}

fn attach(
    conn: &Connection,
    id: AttachmentId,
    (room, owner): (RoomId, UserId),
    client_id: &ClientId,
) -> Result<Upload> {
    let upload = find(conn, id)?
        .filter(|upload| upload.room == room && upload.owner == owner)
        .ok_or(StoreError::NotFound)?;
    // The time lets the collector tell a message that is being stored from one that never will be.
    let sql = "UPDATE uploads SET state = 'attached', client_id = ?2, attached_at = ?3
               WHERE id = ?1 AND (state = 'unattached'
                                  OR state = 'attached' AND client_id = ?2 AND seq IS NULL)";
    let of_this_message =
        "SELECT 1 FROM uploads WHERE id = ?1 AND state = 'attached' AND client_id = ?2";
    conn.prepare_cached(sql)?.execute((id, client_id, Timestamp::now()))?;
    if !conn.prepare_cached(of_this_message)?.exists((id, client_id))? {
        return Err(StoreError::Conflict(Conflict::Attached));
    }
    Ok(Upload { state: AttachmentState::Attached, ..upload })
}

fn claim(conn: &Connection, before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>> {
    // An attached one is here only until its message is stored; if that never came, it is as good as
    // unattached.
    let sql = "UPDATE uploads SET state = 'deleting' WHERE id IN (
                 SELECT id FROM uploads INDEXED BY uploads_loose
                 WHERE seq IS NULL
                   AND (state = 'deleting' OR coalesce(attached_at, created_at) < ?1)
                 ORDER BY created_at LIMIT ?2)
               RETURNING id";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map((before, limit), |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
