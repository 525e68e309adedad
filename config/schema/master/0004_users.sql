-- Everybody who may sign in, of every school and of the platform: for the API's login.
-- The operator creates users; the API may change what a login changes, and nothing else.

CREATE TABLE registry.users (
    id                   uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id            uuid         CONSTRAINT users_tenant_id_fkey REFERENCES registry.tenants,
    name                 varchar(200) NOT NULL CONSTRAINT users_name_length CHECK (char_length(btrim(name)) >= 1),
    email                varchar(200) NOT NULL CONSTRAINT users_email_format CHECK (email ~ '^[^@\s]+@[^@\s]+$'),
    password_hash        text         NOT NULL,
    phone_number         varchar(20),
    role                 varchar(50)  NOT NULL
        CONSTRAINT users_role_known CHECK (role IN
            ('SchoolAdmin', 'Teacher', 'HealthStaff', 'Guardian', 'ReadOnly', 'PlatformAdmin')),
    email_confirmed      boolean      NOT NULL DEFAULT false,
    phone_confirmed      boolean      NOT NULL DEFAULT false,
    is_active            boolean      NOT NULL DEFAULT true,
    created_at           timestamptz  NOT NULL DEFAULT now(),
    updated_at           timestamptz  NOT NULL DEFAULT now(),
    last_login_at        timestamptz,
    is_deleted           boolean      NOT NULL DEFAULT false,
    must_change_password boolean      NOT NULL DEFAULT false,
    failed_logins        int          NOT NULL DEFAULT 0 CONSTRAINT users_failed_logins_range CHECK (failed_logins >= 0),
    locked_until         timestamptz,
    CONSTRAINT users_tenant_id_required CHECK ((tenant_id IS NULL) = (role = 'PlatformAdmin'))
);
COMMENT ON TABLE registry.users IS 'Accounts. A school''s own database knows them by id only (app.guardians, app.staff, app.user_roles).';
COMMENT ON COLUMN registry.users.tenant_id IS 'The one school of the account; null exactly for PlatformAdmin.';
COMMENT ON COLUMN registry.users.password_hash IS 'argon2id in PHC form; bcrypt from older systems until the next login.';
COMMENT ON COLUMN registry.users.role IS 'The main role; the school''s app.role_permissions says what it allows there.';
COMMENT ON COLUMN registry.users.must_change_password IS 'True while the password is a temporary one that somebody else has seen.';
COMMENT ON COLUMN registry.users.failed_logins IS 'Since the last success.';

-- The seed's index is also its UNIQUE(email), over accounts that exist and without regard to case.
CREATE UNIQUE INDEX idx_users_email ON registry.users (lower(email)) WHERE NOT is_deleted;
CREATE INDEX idx_users_tenant ON registry.users (tenant_id) WHERE NOT is_deleted;

CREATE TRIGGER users_touch BEFORE UPDATE ON registry.users FOR EACH ROW EXECUTE FUNCTION registry.touch_row();

GRANT SELECT, UPDATE (password_hash, must_change_password, failed_logins, locked_until, last_login_at)
    ON registry.users TO dailycare_api;
