//! The embedded adapter: SQLite in a file of this node.
