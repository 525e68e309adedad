-- Answers to POST requests that carried an Idempotency-Key: a client that retries gets the first answer, not a second row.
-- Written in the transaction of the work itself.

CREATE TABLE app.idempotency_keys (
    user_id       uuid        NOT NULL,
    key           text        NOT NULL CONSTRAINT idempotency_keys_key_length CHECK (char_length(key) BETWEEN 1 AND 255),
    route         text        NOT NULL CONSTRAINT idempotency_keys_route_length CHECK (char_length(route) <= 200),
    request_hash  bytea       NOT NULL CONSTRAINT idempotency_keys_request_hash_length CHECK (octet_length(request_hash) = 32),
    status        smallint    CONSTRAINT idempotency_keys_status_range CHECK (status BETWEEN 100 AND 599),
    response      jsonb,
    expires_at    timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (user_id, key)
);
COMMENT ON TABLE app.idempotency_keys IS 'The first answer to each keyed POST, for a day. Holds personal data for that long only.';
COMMENT ON COLUMN app.idempotency_keys.request_hash IS 'SHA-256 of the request; another body under the same key is refused.';
COMMENT ON COLUMN app.idempotency_keys.status IS 'HTTP status of the answer.';
SELECT app.stamp_table('app.idempotency_keys');

CREATE INDEX idempotency_keys_expires_at_idx ON app.idempotency_keys (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON app.idempotency_keys TO tenant_app;
