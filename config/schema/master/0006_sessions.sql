-- Sessions: until when what was given to a user counts, and the refresh tokens that renew it.
-- For the API: it refuses access tokens issued before `sessions_valid_from`, which it learns of by NOTIFY users and by a poll.
--   LISTEN users;                                                 payload: none
--   SELECT id, sessions_valid_from FROM registry.users WHERE sessions_valid_from > now() - <life of an access token>;

ALTER TABLE registry.users ADD COLUMN sessions_valid_from timestamptz NOT NULL DEFAULT to_timestamp(0);
COMMENT ON COLUMN registry.users.sessions_valid_from IS
    'A whole second: access tokens issued before it are refused. Kept by trigger; grows with every change of password, role, tenant, is_active or is_deleted.';
CREATE INDEX users_sessions_valid_from_idx ON registry.users (sessions_valid_from);

-- One row a session. A refresh token is the session's id and a secret; the table holds the secret's SHA-256, which opens nothing.
CREATE TABLE registry.refresh_tokens (
    family     uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT refresh_tokens_user_id_fkey REFERENCES registry.users ON DELETE CASCADE,
    current    bytea       NOT NULL CONSTRAINT refresh_tokens_current_length CHECK (octet_length(current) = 32),
    previous   bytea       CONSTRAINT refresh_tokens_previous_length CHECK (octet_length(previous) = 32),
    salt       bytea       NOT NULL CONSTRAINT refresh_tokens_salt_length CHECK (octet_length(salt) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    CONSTRAINT refresh_tokens_expires_at_order CHECK (expires_at <= ends_at)
);
COMMENT ON TABLE registry.refresh_tokens IS 'Sessions that can be renewed. A session that ended has no row.';
COMMENT ON COLUMN registry.refresh_tokens.current IS 'SHA-256 of the secret that renews the session next.';
COMMENT ON COLUMN registry.refresh_tokens.previous IS
    'SHA-256 of the one before: its second use within seconds of the first is a lost answer, later it is theft, and ends the session.';
COMMENT ON COLUMN registry.refresh_tokens.salt IS
    'Key of the HMAC that makes the next secret from the present one, so that a lost answer can be given again without keeping it. Of no use without the secret.';
COMMENT ON COLUMN registry.refresh_tokens.expires_at IS 'When the session ends if nobody renews it.';
COMMENT ON COLUMN registry.refresh_tokens.ends_at IS 'When it ends in any case.';
CREATE INDEX refresh_tokens_user_id_idx ON registry.refresh_tokens (user_id, rotated_at DESC);
CREATE INDEX refresh_tokens_expires_at_idx ON registry.refresh_tokens (expires_at);

-- What an account's change ends, whoever makes it. A rehash of the same password (a transaction that says so) ends nothing.
CREATE FUNCTION registry.end_sessions() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
DECLARE
    rehash boolean := coalesce(current_setting('registry.rehash', true), '') = 'on';
BEGIN
    NEW.sessions_valid_from := OLD.sessions_valid_from;
    IF (NEW.role, NEW.is_active, NEW.is_deleted, NEW.tenant_id) IS DISTINCT FROM (OLD.role, OLD.is_active, OLD.is_deleted, OLD.tenant_id)
       OR (NEW.password_hash <> OLD.password_hash AND NOT rehash) THEN
        -- Tokens carry whole seconds. Rounded up, and always further than the last time, it is later than every token there is.
        NEW.sessions_valid_from := greatest(date_trunc('second', clock_timestamp()), OLD.sessions_valid_from) + interval '1 second';
        IF NEW.password_hash <> OLD.password_hash OR NOT NEW.is_active OR NEW.is_deleted OR NEW.tenant_id IS DISTINCT FROM OLD.tenant_id THEN
            DELETE FROM registry.refresh_tokens WHERE user_id = OLD.id;
        END IF;
        -- Without payload, so that a change of many accounts in one transaction is one notification.
        PERFORM pg_notify('users', '');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.end_sessions() IS 'Keeps sessions_valid_from, whatever the statement says, ends the sessions, and notifies.';

CREATE TRIGGER users_end_sessions BEFORE UPDATE ON registry.users FOR EACH ROW EXECUTE FUNCTION registry.end_sessions();

GRANT SELECT, INSERT, DELETE, UPDATE (current, previous, rotated_at, expires_at) ON registry.refresh_tokens TO dailycare_api;
