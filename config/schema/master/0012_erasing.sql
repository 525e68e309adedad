-- What is personal goes with an account and with a school: for RGPD, articles 5 and 17. This file alone says what that is. The API's DELETE of an account,
-- the removal of platform staff, the operator's deletion of a school and the runbook's SQL all call it.

CREATE FUNCTION registry.erase_accounts(accounts uuid[], with_names boolean DEFAULT false) RETURNS bigint
    LANGUAGE sql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
    WITH erased AS (
        UPDATE registry.users SET
            is_deleted    = true,
            is_active     = false,
            email         = id || '@removed.invalid',
            phone_number  = NULL,
            password_hash = '!',
            -- A guardian's acts concern its own children alone. An audit must be able to tell which member of the staff did something, as long as there is one.
            name          = CASE WHEN with_names OR role = 'Guardian' THEN '-' ELSE name END
        WHERE id = ANY (accounts) AND (NOT is_deleted OR (with_names AND name <> '-'))
        RETURNING 1)
    SELECT count(*) FROM erased
$$;
COMMENT ON FUNCTION registry.erase_accounts(uuid[], boolean) IS
    'Closes accounts and erases what is personal in them; says how many changed. Names of staff stay unless with_names. The rows stay, because audits name their ids.';
GRANT EXECUTE ON FUNCTION registry.erase_accounts(uuid[], boolean) TO dailycare_api;

-- The school's own audit goes with its database, so nothing needs the names of its staff any more.
CREATE FUNCTION registry.delete_tenant(deleted uuid, of_school uuid, of_cluster uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
DECLARE
    changed boolean;
    erased  bigint;
BEGIN
    UPDATE registry.tenants t SET
        state = 'deleted', is_active = false, is_deleted = true, credentials = NULL, key_id = NULL, name = '-', email = '', phone_number = NULL
    WHERE t.id = deleted AND t.school_uid IS NOT DISTINCT FROM of_school AND t.cluster_uid IS NOT DISTINCT FROM of_cluster
      AND (t.state <> 'deleted' OR t.name <> '-' OR t.email <> '' OR t.phone_number IS NOT NULL);
    changed := FOUND;
    IF NOT changed AND NOT EXISTS (
        SELECT FROM registry.tenants t
        WHERE t.id = deleted AND t.school_uid IS NOT DISTINCT FROM of_school AND t.cluster_uid IS NOT DISTINCT FROM of_cluster)
    THEN
        RETURN NULL;
    END IF;
    -- Two queries, because each has an index of its own.
    erased := registry.erase_accounts(ARRAY(
        SELECT u.id FROM registry.users u WHERE u.tenant_id = deleted AND NOT u.is_deleted
        UNION ALL
        SELECT u.id FROM registry.users u WHERE u.tenant_id = deleted AND u.is_deleted AND u.name <> '-'), true);
    DELETE FROM registry.account_keys k WHERE k.tenant_id = deleted;
    RETURN changed OR erased > 0;
END
$$;
COMMENT ON FUNCTION registry.delete_tenant(uuid, uuid, uuid) IS
    'Marks a tenant of this School and cluster deleted and erases what is personal in it and its accounts. True: it did; false: it was done; null: there is no such tenant.';

CREATE INDEX users_erasable_name_idx ON registry.users (tenant_id) WHERE is_deleted AND name <> '-';

-- An account that is made while its school is deleted would be erased by nobody. The two take turns at the tenant's row. SECURITY DEFINER because locking a
-- row needs a right to change it, which the API does not hold.
CREATE FUNCTION registry.refuse_accounts_of_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM registry.tenants t WHERE t.id = NEW.tenant_id AND NOT t.is_deleted FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the school is deleted' USING ERRCODE = 'foreign_key_violation', SCHEMA = 'registry', TABLE = 'users',
            CONSTRAINT = 'users_tenant_id_fkey';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.refuse_accounts_of_deleted() IS 'No account is made for a tenant that is deleted or does not exist.';
CREATE TRIGGER users_refuse_deleted BEFORE INSERT ON registry.users
    FOR EACH ROW WHEN (NEW.tenant_id IS NOT NULL AND NOT NEW.is_deleted) EXECUTE FUNCTION registry.refuse_accounts_of_deleted();

-- PostgreSQL's statistics hold samples of values, and would hold erased ones until enough rows have changed. Naming the type again drops what was gathered.
ALTER TABLE registry.users
    ALTER COLUMN name TYPE varchar(200), ALTER COLUMN email TYPE varchar(200), ALTER COLUMN phone_number TYPE varchar(20),
    ALTER COLUMN password_hash TYPE text;
ALTER TABLE registry.users
    ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN email SET STATISTICS 0, ALTER COLUMN phone_number SET STATISTICS 0,
    ALTER COLUMN password_hash SET STATISTICS 0;
ALTER INDEX registry.idx_users_email ALTER COLUMN 1 SET STATISTICS 0;
ALTER TABLE registry.tenants
    ALTER COLUMN name TYPE varchar(200), ALTER COLUMN email TYPE varchar(200), ALTER COLUMN phone_number TYPE varchar(20);
ALTER TABLE registry.tenants
    ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN email SET STATISTICS 0, ALTER COLUMN phone_number SET STATISTICS 0;
-- A client chooses its keys, and may put a name into one.
ALTER TABLE registry.account_keys ALTER COLUMN key TYPE text;
ALTER TABLE registry.account_keys ALTER COLUMN key SET STATISTICS 0, ALTER COLUMN request_hash SET STATISTICS 0;

-- What was deleted and removed before.
DO $$
BEGIN
    PERFORM registry.delete_tenant(t.id, t.school_uid, t.cluster_uid) FROM registry.tenants t WHERE t.is_deleted;
    UPDATE registry.users SET email = id || '@removed.invalid', phone_number = NULL, password_hash = '!' WHERE is_deleted AND role = 'PlatformAdmin';
END
$$;

COMMENT ON COLUMN registry.tenants.name IS 'The school''s name; ''-'' once it is deleted.';
COMMENT ON COLUMN registry.tenants.email IS 'The school''s contact; empty once it is deleted.';
