//! The two bodies of a resource, one that creates a record and one that updates it: what both may hold is declared once, with its bounds.
//!
//! Must not know any resource. A field that only one of them has, or that only one requires, stands in its own list.

/// Makes the types of both bodies: the fields of each, and then those in `both`.
macro_rules! bodies {
    (
        $(#[$new_doc:meta])* $new:ident { $($(#[$new_meta:meta])* $new_field:ident: $new_type:ty,)* }
        $(#[$change_doc:meta])* $change:ident { $($(#[$change_meta:meta])* $change_field:ident: $change_type:ty,)* }
        both { $($(#[$meta:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$new_doc])*
        #[derive(Clone, Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $new {
            $($(#[$new_meta])* pub $new_field: $new_type,)*
            $($(#[$meta])* pub $field: $type,)*
        }

        $(#[$change_doc])*
        #[derive(Clone, Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $change {
            $($(#[$change_meta])* pub $change_field: $change_type,)*
            $($(#[$meta])* pub $field: $type,)*
        }
    };
}
pub(super) use bodies;
