-- The schema `registry` of the master database: which schools exist, where each one's database is, and who may sign in.
-- `dailycare_operator` owns it and writes routes; `dailycare_api` reads them and gets each further right by name.

DO $$
BEGIN
    IF current_user <> 'dailycare_operator' THEN
        RAISE EXCEPTION 'master migrations run as dailycare_operator, not as %', current_user
            USING HINT = 'SET ROLE dailycare_operator';
    END IF;
END
$$;

-- The runner may have made the schema already, for its own table of applied migrations.
CREATE SCHEMA IF NOT EXISTS registry;
COMMENT ON SCHEMA registry IS 'Tenants, users and routes. Owned by dailycare_operator; read by dailycare_api.';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA registry FROM PUBLIC;
GRANT USAGE ON SCHEMA registry TO dailycare_api;
-- At this point the runner's own table at most: the API looks there for the version it needs.
GRANT SELECT ON ALL TABLES IN SCHEMA registry TO dailycare_api;

ALTER DEFAULT PRIVILEGES FOR ROLE dailycare_operator REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE FUNCTION registry.touch_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.touch_row() IS 'Keeps updated_at, whatever the statement says.';
