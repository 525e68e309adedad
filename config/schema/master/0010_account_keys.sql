-- Which account a POST with an Idempotency-Key made: a client that lost the answer gets the account again, not a refusal, for a day.
-- Holds no answer, because that held a password: the API gives a new one, as long as nobody has signed in with the first.

CREATE TABLE registry.account_keys (
    tenant_id    uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    key          text        NOT NULL CONSTRAINT account_keys_key_length CHECK (char_length(key) BETWEEN 1 AND 255),
    request_hash bytea       NOT NULL CONSTRAINT account_keys_request_hash_length CHECK (octet_length(request_hash) = 32),
    account_id   uuid        CONSTRAINT account_keys_account_id_fkey REFERENCES registry.users,
    expires_at   timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (tenant_id, user_id, key)
);
COMMENT ON TABLE registry.account_keys IS 'The account that each keyed request made, for a day. Written in the transaction that makes it.';
COMMENT ON COLUMN registry.account_keys.user_id IS 'Who asked. No foreign key: another issuer''s users are not in registry.users.';
COMMENT ON COLUMN registry.account_keys.request_hash IS 'SHA-256 of the request; another body under the same key is refused.';
COMMENT ON COLUMN registry.account_keys.account_id IS 'Null within the transaction that makes the account alone.';

CREATE INDEX account_keys_account_id_idx ON registry.account_keys (account_id);
CREATE INDEX account_keys_expires_at_idx ON registry.account_keys (expires_at);

GRANT SELECT, INSERT, DELETE, UPDATE (account_id) ON registry.account_keys TO dailycare_api;
