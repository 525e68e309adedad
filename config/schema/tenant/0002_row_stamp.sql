-- Who made a row, who changed it last, and which version it is: for accountability (RGPD) and for the API's ETag.
-- Kept by one trigger from the transaction's setting `app.user_id`, so that no handler and no bulk statement forgets.
--   BEGIN; SELECT set_config('app.user_id', '<uuid>', true); INSERT …; COMMIT;

CREATE FUNCTION app.current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
    -- A setting made with is_local is '' rather than absent once its transaction is over.
    RETURN nullif(current_setting('app.user_id', true), '')::uuid;
COMMENT ON FUNCTION app.current_user_id() IS
    'The acting user of this transaction (registry.users.id of the master database); null for the operator and for migrations.';
GRANT EXECUTE ON FUNCTION app.current_user_id() TO tenant_app;

CREATE FUNCTION app.stamp_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, app, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_at := now();
        NEW.created_by := app.current_user_id();
        NEW.row_version := 1;
    ELSE
        IF (NEW.created_at, NEW.created_by) IS DISTINCT FROM (OLD.created_at, OLD.created_by) THEN
            RAISE EXCEPTION 'created_at and created_by of %.% cannot be changed', TG_TABLE_SCHEMA, TG_TABLE_NAME
                USING ERRCODE = 'SA001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
        NEW.row_version := OLD.row_version + 1;
    END IF;
    NEW.updated_at := now();
    NEW.updated_by := app.current_user_id();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION app.stamp_row() IS
    'Fills created_*, updated_* and row_version whatever the statement says; SA001 when an UPDATE changes created_*.';

CREATE FUNCTION app.stamp_table(stamped regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, app, pg_temp
AS $$
DECLARE
    relation pg_class := (SELECT c FROM pg_class c WHERE c.oid = stamped);
BEGIN
    EXECUTE format(
        'ALTER TABLE app.%I
             ADD COLUMN row_version bigint      NOT NULL DEFAULT 1,
             ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
             ADD COLUMN created_by  uuid,
             ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
             ADD COLUMN updated_by  uuid',
        relation.relname);
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON app.%I FOR EACH ROW EXECUTE FUNCTION app.stamp_row()',
        relation.relname || '_stamp', relation.relname);
END
$$;
COMMENT ON FUNCTION app.stamp_table(regclass) IS
    'For migrations: gives a table its five stamp columns and the trigger that keeps them. Every table but the audit logs calls it once.';
