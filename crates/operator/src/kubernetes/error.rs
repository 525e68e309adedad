//! Errors of Kubernetes calls, classified once by status code and reason, never by message text.
//!
//! Must not log: callers report an error once.

use std::time::Duration;

use domain::retry::Class;
use kube::core::Status;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be asked.
    #[error("{doing} failed")]
    Call {
        /// What was being done, in words for a person: "reading the credentials Secret".
        doing: &'static str,
        /// What the client said.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer came in time. Whether a write took effect is unknown.
    #[error("{doing} did not end within {} s", limit.as_secs())]
    TimedOut {
        /// What was being done.
        doing: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// The API server's answer lacks what every API server sends.
    #[error("{doing} failed: the object has no valid {field}")]
    Incomplete {
        /// What was being done.
        doing: &'static str,
        /// The field that is missing or malformed.
        field: &'static str,
    },
}

/// The result of a Kubernetes call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn call(doing: &'static str, source: kube::Error) -> Self {
        Self::Call { doing, source: Box::new(source) }
    }

    /// The API server's answer, when it gave one.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::TimedOut { .. } | Self::Incomplete { .. } => None,
        }
    }

    /// What the API server said, for a condition: it names the verb, the resource and the rule that refused. Without an answer, this error's own words.
    #[must_use]
    pub fn message(&self) -> String {
        self.status().map_or_else(|| self.to_string(), |status| format!("{self}: {}", status.message))
    }

    /// There is no such object, or no such namespace.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    /// A create found its name taken.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }

    /// The object is not as the write assumed: another `resourceVersion`, another uid, or a JSON patch whose `test` failed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.is_conflict() || is_failed_test(status))
    }

    /// The namespace is being deleted and takes no new objects.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        let causes = |status: &Status| status.details.as_ref().is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"));
        self.status().is_some_and(causes)
    }

    /// The one classification of Kubernetes errors (API conventions, "HTTP status codes").
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::TimedOut { .. } => Class::Transient,
            Self::Incomplete { .. } => Class::Bug,
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => class_of(status, self.is_conflict() || self.is_namespace_terminating()),
                kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => Class::Transient,
                // Reading a token or running an exec plugin: a person's set-up, or a file that is being replaced.
                kube::Error::Auth(_) | kube::Error::RustlsTls(_) | kube::Error::InferConfig(_) | kube::Error::InferKubeconfig(_) => {
                    Class::Denied
                }
                _ => Class::Bug,
            },
        }
    }
}

fn class_of(status: &Status, overtaken: bool) -> Class {
    match status.code {
        _ if overtaken => Class::Contended,
        // What was just read is gone, or its namespace is: the next observation shows it.
        404 | 409 => Class::Contended,
        401 | 403 => Class::Denied,
        400 | 413 | 422 => Class::Invalid,
        408 | 410 | 429 | 500.. => Class::Transient,
        _ => Class::Bug,
    }
}

/// The API server answers a JSON patch that does not apply with 422 and no kind; a refusal by validation names the kind.
fn is_failed_test(status: &Status) -> bool {
    status.is_invalid() && status.details.as_ref().is_none_or(|details| details.kind.is_empty() && details.causes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str) -> Error {
        let status = Status::failure("secrets is forbidden: cannot create", reason).with_code(code);
        Error::call("creating the Secret", kube::Error::Api(status.boxed()))
    }

    fn invalid_secret() -> Error {
        let status = Status::failure("Secret \"a\" is invalid", "Invalid").with_code(422);
        let details = serde_json::from_value(serde_json::json!({"kind": "Secret", "name": "a"})).unwrap();
        Error::call("patching the Secret", kube::Error::Api(status.with_details(details).boxed()))
    }

    #[test]
    fn every_status_has_the_class_that_decides_its_wait() {
        let table = [
            (409, "Conflict", Class::Contended),
            (409, "AlreadyExists", Class::Contended),
            (404, "NotFound", Class::Contended),
            (401, "Unauthorized", Class::Denied),
            (403, "Forbidden", Class::Denied),
            (400, "BadRequest", Class::Invalid),
            (429, "TooManyRequests", Class::Transient),
            (500, "InternalError", Class::Transient),
            (503, "ServiceUnavailable", Class::Transient),
            (504, "Timeout", Class::Transient),
            (405, "MethodNotAllowed", Class::Bug),
        ];
        for (code, reason, class) in table {
            assert_eq!(refused(code, reason).class(), class, "{code} {reason}");
        }
        assert_eq!(invalid_secret().class(), Class::Invalid);
        let late = Error::TimedOut { doing: "reading", limit: Duration::from_secs(1) };
        assert_eq!(late.class(), Class::Transient);
    }

    #[test]
    fn a_json_patch_whose_test_failed_is_a_conflict_and_a_refused_object_is_not() {
        assert!(refused(422, "Invalid").is_conflict());
        assert_eq!(refused(422, "Invalid").class(), Class::Contended);
        assert!(!invalid_secret().is_conflict());
    }

    #[test]
    fn a_taken_name_is_told_from_a_lost_race() {
        assert!(refused(409, "AlreadyExists").is_already_exists());
        assert!(!refused(409, "AlreadyExists").is_conflict());
        assert!(!refused(409, "Conflict").is_already_exists());
    }

    #[test]
    fn the_text_says_what_was_done_and_the_message_what_the_server_said() {
        let error = refused(403, "Forbidden");
        assert_eq!(error.to_string(), "creating the Secret failed");
        assert_eq!(error.message(), "creating the Secret failed: secrets is forbidden: cannot create");
    }

    #[test]
    fn a_terminating_namespace_is_contended_because_the_deletion_is_about_to_be_seen() {
        let details = serde_json::json!({"kind": "secrets", "causes": [{"reason": "NamespaceTerminating"}]});
        let status = Status::failure("forbidden", "Forbidden").with_code(403).with_details(serde_json::from_value(details).unwrap());
        let error = Error::call("creating the Secret", kube::Error::Api(status.boxed()));
        assert!(error.is_namespace_terminating());
        assert_eq!(error.class(), Class::Contended);
    }
}
