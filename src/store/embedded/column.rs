//! How the types of the domain lie in columns, and what SQLite's errors mean to callers.

use rusqlite::ffi::{self, ErrorCode};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::domain::{
    AttachmentId, ClientId, Email, Generation, JoinRequestId, MembershipId, Nonce, Page, Role,
    RoomId, RoomKind, Seq, Timestamp, UserId, Username,
};
use crate::store::StoreError;

macro_rules! ids {
    ($($name:ident),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_bytes().as_slice()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(Self::from_bytes)
            }
        }

        impl PageId for $name {
            fn bytes(&self) -> &[u8] {
                self.as_bytes()
            }
        }
    )+};
}

macro_rules! texts {
    ($($name:ident),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                String::column_result(value).map(Self::stored)
            }
        }
    )+};
}

/// An id by which lists are paged.
pub(super) trait PageId {
    /// As it is stored.
    fn bytes(&self) -> &[u8];
}

/// The id behind which a page begins; without one the empty blob, which sorts before every id.
pub(super) fn after<Id: PageId>(page: &Page<Id>) -> &[u8] {
    page.after.as_ref().map_or(&[], PageId::bytes)
}

ids!(UserId, RoomId, MembershipId, JoinRequestId, AttachmentId);
texts!(Email, Username, ClientId);

impl ToSql for Seq {
    /// Positions end at 2^63; what is beyond compares as if it were there.
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(i64::try_from(self.0).unwrap_or(i64::MAX)))
    }
}

impl FromSql for Seq {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        number(value).map(Self)
    }
}

/// A count that lies in a column of SQLite's signed numbers.
pub(super) fn number(value: ValueRef<'_>) -> FromSqlResult<u64> {
    let stored = value.as_i64()?;
    u64::try_from(stored).map_err(|_| FromSqlError::OutOfRange(stored))
}

/// A count, on its way into a column and out of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(i64::try_from(self.0).unwrap_or(i64::MAX)))
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        number(value).map(Self)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl FromSql for Generation {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

impl ToSql for Nonce {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_slice()))
    }
}

impl FromSql for Nonce {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        FromSql::column_result(value).map(Self)
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }))
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "owner" => Ok(Self::Owner),
            "member" => Ok(Self::Member),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl ToSql for RoomKind {
    /// As the column `is_group`.
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self == Self::Group))
    }
}

impl FromSql for RoomKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(if bool::column_result(value)? { Self::Group } else { Self::Private })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::SqliteFailure;
        match error {
            // A row was to name a user or a room that is not.
            SqliteFailure(failure, _)
                if failure.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY =>
            {
                Self::NotFound
            }
            SqliteFailure(failure, _)
                if !matches!(
                    failure.code,
                    ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                ) =>
            {
                Self::Unavailable(error.into())
            }
            // Whatever else there is means that data or statements are not as this version knows them.
            _ => Self::Malformed(error.into()),
        }
    }
}
