-- Accesses and refusals that belong to no one school: unknown tenants, a token of one school with the name of another,
-- failed logins, what platform staff did. What belongs to a school stands in that school's app.access_audit.
-- The API may only add rows.

CREATE TABLE registry.access_audit (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id   uuid,
    user_id     uuid,
    action      text        NOT NULL CONSTRAINT access_audit_action_length CHECK (char_length(action) BETWEEN 1 AND 100),
    resource    text        NOT NULL CONSTRAINT access_audit_resource_length CHECK (char_length(resource) BETWEEN 1 AND 500),
    ip_address  inet,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    success     boolean     NOT NULL
);
COMMENT ON TABLE registry.access_audit IS 'Append-only for the API. Never holds bodies, tokens or passwords.';
COMMENT ON COLUMN registry.access_audit.tenant_id IS
    'The tenant of the token, or the one platform staff acted for. No foreign key: evidence outlives what it speaks of.';
COMMENT ON COLUMN registry.access_audit.user_id IS 'Null when nobody was authenticated.';

CREATE INDEX access_audit_occurred_at_idx ON registry.access_audit (occurred_at DESC, id DESC);
CREATE INDEX access_audit_tenant_id_idx ON registry.access_audit (tenant_id, occurred_at DESC) WHERE tenant_id IS NOT NULL;
CREATE INDEX access_audit_user_id_idx ON registry.access_audit (user_id, occurred_at DESC) WHERE user_id IS NOT NULL;

GRANT INSERT ON registry.access_audit TO dailycare_api;
