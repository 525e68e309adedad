//! Enums for columns that hold one of a fixed set of texts, so that bodies, filters and the document agree on the set.
//!
//! Must not know any column.

/// Makes an enum with the text of each variant. The text is a `tt` because the derive of the schema cannot read a `literal` that a macro passes on.
macro_rules! column_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name {
            $(#[doc = concat!("`", $label, "`.")] #[serde(rename = $label)] $variant,)+
        }

        impl $name {
            /// The text in the column.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}
pub(super) use column_enum;
