-- Who may do what in this school: read by the API on each request (through its cache).
-- Users live in the master database, so their ids stand here without a foreign key. A user's main role is
-- registry.users.role there and names a row of app.roles; app.user_roles adds further roles in this school.

CREATE TABLE app.roles (
    code     text PRIMARY KEY CONSTRAINT roles_code_format CHECK (code ~ '^[A-Z][A-Za-z]{1,49}$'),
    title_pt text NOT NULL,
    title_en text NOT NULL
);
COMMENT ON TABLE app.roles IS 'The roles of a school. Changed by migrations only; PlatformAdmin is not here, it exists in the master database alone.';
SELECT app.stamp_table('app.roles');
GRANT SELECT ON app.roles TO tenant_app;

CREATE TABLE app.permissions (
    code     text PRIMARY KEY CONSTRAINT permissions_code_format CHECK (code ~ '^[a-z_]+:[a-z_]+$'),
    title_pt text NOT NULL,
    title_en text NOT NULL
);
COMMENT ON TABLE app.permissions IS 'What a route can ask for, as <resource>:<verb>. Changed by migrations only, with the code that asks.';
SELECT app.stamp_table('app.permissions');
GRANT SELECT ON app.permissions TO tenant_app;

CREATE TABLE app.role_permissions (
    role_code       text NOT NULL
        CONSTRAINT role_permissions_role_code_fkey REFERENCES app.roles ON DELETE CASCADE,
    permission_code text NOT NULL
        CONSTRAINT role_permissions_permission_code_fkey REFERENCES app.permissions ON DELETE CASCADE,
    scope           text NOT NULL DEFAULT 'school'
        CONSTRAINT role_permissions_scope_known CHECK (scope IN ('school', 'own')),
    PRIMARY KEY (role_code, permission_code)
);
COMMENT ON TABLE app.role_permissions IS 'Which role holds which permission; a SchoolAdmin may change it for the school.';
COMMENT ON COLUMN app.role_permissions.scope IS
    'school: over every row. own: only over the children of whom the user is a guardian (app.guardians.user_id).';
SELECT app.stamp_table('app.role_permissions');
CREATE INDEX role_permissions_permission_code_idx ON app.role_permissions (permission_code);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.role_permissions TO tenant_app;

CREATE TABLE app.user_roles (
    user_id   uuid NOT NULL,
    role_code text NOT NULL CONSTRAINT user_roles_role_code_fkey REFERENCES app.roles ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_code)
);
COMMENT ON TABLE app.user_roles IS 'Roles beside the main one, e.g. a Teacher who is also HealthStaff or a Guardian.';
COMMENT ON COLUMN app.user_roles.user_id IS 'registry.users.id in the master database.';
SELECT app.stamp_table('app.user_roles');
CREATE INDEX user_roles_role_code_idx ON app.user_roles (role_code);
GRANT SELECT, INSERT, DELETE ON app.user_roles TO tenant_app;
