-- By which request: the id that the caller was answered with and that the log has, so that a record, a line of the log and a person's report meet.

ALTER TABLE app.access_audit ADD COLUMN request_id text COLLATE "C";
COMMENT ON COLUMN app.access_audit.request_id IS 'The answer''s X-Request-Id; null in records from before there was this column.';
-- Rows from before have none: nothing to validate, and no reason to read every month while all wait.
ALTER TABLE app.access_audit ADD CONSTRAINT access_audit_request_id_length CHECK (char_length(request_id) BETWEEN 1 AND 64) NOT VALID;
