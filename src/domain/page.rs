//! Paging of lists.

/// Which part of a list is asked for: at most `limit` items, after skipping `skip`, behind the item with the
/// id `after`. Lists are in ascending order of id, so in order of creation, unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id that was seen.
    pub after: Option<Id>,
    /// Items to pass over, in the inherited way.
    pub skip: u32,
    /// The most items to answer with, 1 to [`Page::MAX`].
    pub limit: u32,
}

impl<Id> Page<Id> {
    /// What `limit` is when it is not given.
    pub const DEFAULT: u32 = 100;
    /// The largest `limit`.
    pub const MAX: u32 = 500;

    /// The first page of `limit` items.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, skip: 0, limit }
    }
}
