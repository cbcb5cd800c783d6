//! Labels whose values are closed sets: types, so that nothing else can become a series.

/// The values of one or several labels, all of which are known.
pub trait Labels: Copy + 'static {
    /// What the labels are called.
    fn names() -> Vec<&'static str>;

    /// Everything there is, in the order of [`Labels::index`].
    fn all() -> Vec<Self>;

    /// The place among [`Labels::all`].
    fn index(self) -> usize;

    /// How the labels are written, in the order of [`Labels::names`].
    fn values(self) -> Vec<&'static str>;
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    fn names() -> Vec<&'static str> {
        [A::names(), B::names()].concat()
    }

    fn all() -> Vec<Self> {
        let seconds = B::all();
        let pairs = |first: A| seconds.iter().map(move |second| (first, *second));
        A::all().into_iter().flat_map(pairs).collect()
    }

    fn index(self) -> usize {
        self.0.index() * B::all().len() + self.1.index()
    }

    fn values(self) -> Vec<&'static str> {
        [self.0.values(), self.1.values()].concat()
    }
}

/// Makes the type of a label: `Name("label") { Variant => "value", ... }`.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident($label:literal) {
        $($(#[$about:meta])* $variant:ident => $value:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $variant,)+
        }

        impl $crate::metrics::label::Labels for $name {
            fn names() -> Vec<&'static str> {
                vec![$label]
            }

            fn all() -> Vec<Self> {
                vec![$(Self::$variant),+]
            }

            fn index(self) -> usize {
                self as usize
            }

            fn values(self) -> Vec<&'static str> {
                vec![match self { $(Self::$variant => $value),+ }]
            }
        }
    )+};
}
pub(super) use labels;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{SocketKind, Transport};

    #[test]
    fn pairs_are_counted_through_without_a_hole() {
        let all = <(Transport, SocketKind)>::all();
        assert_eq!(<(Transport, SocketKind)>::names(), ["transport", "kind"]);
        assert_eq!(all.len(), 4);
        for (place, pair) in all.into_iter().enumerate() {
            assert_eq!(pair.index(), place);
        }
        assert_eq!((Transport::Websocket, SocketKind::Room).values(), ["websocket", "room"]);
    }
}
