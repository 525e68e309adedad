-- How API replicas learn of a change of route: a notification at once, and a sequence that a poll cannot miss.
--   LISTEN tenants;                                               payload: the tenant's id
--   SELECT … FROM registry.tenants WHERE change_seq > $1 ORDER BY change_seq;

CREATE SEQUENCE registry.tenant_changes AS bigint OWNED BY registry.tenants.change_seq;
COMMENT ON SEQUENCE registry.tenant_changes IS 'Source of tenants.change_seq.';

-- A bare sequence is not in commit order: number 8 can become visible before number 7, and a poller that saw 8 would
-- never read 7. So writers take turns from their first write until they commit (a few milliseconds, and NOTIFY makes
-- commits take turns anyway). It is a statement trigger because it must come before any row lock: taken after one,
-- two transactions could wait for each other. Keep transactions that write tenants short.
CREATE FUNCTION registry.serialise_tenant_writes() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('registry.tenants'::regclass::oid::bigint);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION registry.serialise_tenant_writes() IS 'Holds the writers'' lock (advisory, key: oid of registry.tenants) until the transaction ends.';

CREATE FUNCTION registry.number_tenant_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    NEW.change_seq := nextval('registry.tenant_changes');
    NEW.updated_at := now();
    IF TG_OP = 'UPDATE' THEN
        NEW.epoch := OLD.epoch
            + ((NEW.state, NEW.server, NEW.host, NEW.port, NEW.database_name, NEW.login, NEW.credentials,
                NEW.tls_mode, NEW.tls_ca)
               IS DISTINCT FROM
               (OLD.state, OLD.server, OLD.host, OLD.port, OLD.database_name, OLD.login, OLD.credentials,
                OLD.tls_mode, OLD.tls_ca))::int;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.number_tenant_change() IS 'Keeps change_seq, updated_at and epoch, whatever the statement says.';

CREATE FUNCTION registry.announce_tenant_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('tenants', coalesce(NEW.id, OLD.id)::text);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION registry.announce_tenant_change() IS
    'NOTIFY tenants with the id. A removed row has no change_seq left: readers learn of it here or at their next full load, so tenants are marked deleted, not removed.';

CREATE TRIGGER tenants_serialise_writes BEFORE INSERT OR UPDATE ON registry.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION registry.serialise_tenant_writes();
CREATE TRIGGER tenants_number_change BEFORE INSERT OR UPDATE ON registry.tenants
    FOR EACH ROW EXECUTE FUNCTION registry.number_tenant_change();
CREATE TRIGGER tenants_announce_change AFTER INSERT OR UPDATE OR DELETE ON registry.tenants
    FOR EACH ROW EXECUTE FUNCTION registry.announce_tenant_change();
