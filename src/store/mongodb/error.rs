//! What the driver's errors mean to callers.

use mongodb::error::{Error, ErrorKind, InsertManyError, WriteFailure};

use crate::store::StoreError;

/// The code of a key that a unique index has already.
const DUPLICATE: i32 = 11_000;

/// Codes of a login that the server refuses.
const AUTHENTICATION_FAILED: [i32; 2] = [18, 8000];

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        // The text of a duplicate holds what was stored, which is nobody's to read in a log.
        if let Some(index) = duplicate_index(&error) {
            return Self::Malformed(format!("unexpectedly taken: a key of {index}").into());
        }
        match *error.kind {
            ErrorKind::Bson(_)
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::BsonSerialization(_)
            | ErrorKind::InvalidArgument { .. } => Self::Malformed(Box::new(error)),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// The name of the unique index that refused a write, if that is what happened.
pub(super) fn duplicate_index(error: &Error) -> Option<&str> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == DUPLICATE => {
            Some(index_in(&command.message))
        }
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE => {
            Some(index_in(&write.message))
        }
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => errors
            .iter()
            .find(|write| write.code == DUPLICATE)
            .map(|write| index_in(&write.message)),
        _ => None,
    }
}

/// The index that the text of a duplicate names; without one it was the key of the document itself. What
/// stands behind the name is a user's text, which may look like anything.
pub(super) fn index_in(message: &str) -> &str {
    let told = message.split(" dup key:").next().unwrap_or_default();
    told.rsplit_once("index: ").map_or("_id_", |(_, name)| name.trim())
}

/// Whether `code` is that of a taken key.
pub(super) fn is_duplicate(code: i32) -> bool {
    code == DUPLICATE
}

/// Whether the server knows the user or the password otherwise. Waiting does not help then.
pub(super) fn is_refused_login(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::Command(command) => AUTHENTICATION_FAILED.contains(&command.code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_named_before_what_a_user_wrote() {
        for (message, index) in [
            (
                "E11000 duplicate key error collection: n.events index: _id_ dup key: { _id: 1 }",
                "_id_",
            ),
            (
                "E11000 duplicate key error collection: n.events index: events_client_id dup key: { c: \"index: _id_ dup key:\" }",
                "events_client_id",
            ),
            (
                "E11000 duplicate key error collection: n.events dup key: { _id: \"index: x\" }",
                "_id_",
            ),
        ] {
            assert_eq!(index_in(message), index, "{message}");
        }
    }
}
