//! The closed sets of values that labels of requests have.
//!
//! Must not take a value from a client as it is.

use axum::http::{Method, StatusCode};

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $(#[doc = concat!("`", $label, "`.")] $variant),+ }

        impl $name {
            pub(super) const COUNT: usize = [$(Self::$variant),+].len();

            /// The label's value.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}

labels! {
    /// How a request ended.
    Class { Informed = "1xx", Succeeded = "2xx", Redirected = "3xx", Refused = "4xx", Failed = "5xx", Aborted = "aborted" }
}
labels! {
    /// A request's method. A client may send any word as one.
    Verb { Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE", Options = "OPTIONS", Other = "other" }
}

impl Class {
    /// The class of a status.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() / 100 {
            1 => Self::Informed,
            2 => Self::Succeeded,
            3 => Self::Redirected,
            4 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl Verb {
    /// The label of a method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }
}
