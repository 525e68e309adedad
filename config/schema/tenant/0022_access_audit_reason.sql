-- Why the platform's staff acted in the school: without it a school could not tell what they did from what its own administrators did.

ALTER TABLE app.access_audit ADD COLUMN reason text;
COMMENT ON COLUMN app.access_audit.reason IS 'Why platform staff acted in the school; null for its own people, and in records from before there was this column.';
-- Rows from before have none: nothing to validate, and no reason to read every month while all wait.
ALTER TABLE app.access_audit ADD CONSTRAINT access_audit_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500) NOT VALID;
