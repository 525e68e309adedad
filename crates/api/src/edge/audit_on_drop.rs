//! Records every attempt in the access audit, whatever ends it.
//!
//! Must not decide what a record holds: `audit_context` does.

use tenancy::audit::Audit;

use super::RequestContext;

/// Records an attempt when it is dropped, so that one that timed out, panicked or lost its client is recorded too, as a failure.
pub(super) struct AuditOnDrop<'a> {
    audit: Option<&'a Audit>,
    context: &'a RequestContext,
    success: bool,
}

impl<'a> AuditOnDrop<'a> {
    /// Without an `audit` nothing is recorded.
    pub(super) fn new(audit: Option<&'a Audit>, context: &'a RequestContext) -> Self {
        Self { audit, context, success: false }
    }

    /// Ends the attempt with this outcome.
    pub(super) fn end(mut self, success: bool) {
        self.success = success;
    }
}

impl Drop for AuditOnDrop<'_> {
    fn drop(&mut self) {
        let Some(audit) = self.audit else { return };
        if let Some(record) = self.context.audit().unwritten_record(self.success) {
            audit.record(record);
        }
    }
}
