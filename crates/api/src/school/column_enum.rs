//! Columns that hold one of a few words: each set of words is an enum, so that bodies, filters and the document agree on them.

/// An enum of a column's words, with `label` for its SQL. A word is a `tt`: the schema's derive reads no `literal` that a macro passes on.
macro_rules! column_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name {
            $(#[doc = concat!("`", $label, "`.")] #[serde(rename = $label)] $variant,)+
        }

        impl $name {
            /// Its word in the column.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}
pub(super) use column_enum;
