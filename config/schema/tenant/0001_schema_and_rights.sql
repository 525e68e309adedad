-- The schema `app` and who may do what in it: for every later file, which needs no thought about ownership.
-- Everything belongs to `tenant_owner` (migrations run under it); a school's login is a member of `tenant_app`
-- and gets, table by table, the rows it may change. It never gets DDL.

DO $$
BEGIN
    IF current_user <> 'tenant_owner' THEN
        RAISE EXCEPTION 'tenant migrations run as tenant_owner, not as %', current_user
            USING HINT = 'ALTER ROLE dailycare_migrator SET role = tenant_owner';
    END IF;
END
$$;

-- The runner may have made the schema already, for its own table of applied migrations.
CREATE SCHEMA IF NOT EXISTS app;
COMMENT ON SCHEMA app IS 'One school''s data. Owned by tenant_owner; used through tenant_app.';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA app FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO tenant_app;

-- Reading is the default, writing is granted by name: a table added in haste (or a partition made at run time)
-- is never writable by accident. This is also what keeps the audit's partitions append-only.
ALTER DEFAULT PRIVILEGES FOR ROLE tenant_owner IN SCHEMA app GRANT SELECT ON TABLES TO tenant_app;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO tenant_app;

-- Without IN SCHEMA on purpose: defaults of a schema can only add to the global ones, never take away.
ALTER DEFAULT PRIVILEGES FOR ROLE tenant_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
