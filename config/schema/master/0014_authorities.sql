-- The certificates of the authorities that servers are verified with, once for each distinct list: a provider's list of 170 KB belongs to a server, and would
-- otherwise be in the row of each of its schools. Writers of tenants go on naming the certificates in tls_ca; a trigger files them here.

CREATE TABLE registry.authorities (
    digest       bytea       PRIMARY KEY CONSTRAINT authorities_digest_length CHECK (octet_length(digest) = 32),
    certificates text        NOT NULL CONSTRAINT authorities_certificates_format CHECK (certificates LIKE '%-----BEGIN CERTIFICATE-----%'),
    created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE registry.authorities IS 'Lists of authorities'' certificates that tenants refer to. One that no tenant refers to any more is removed.';
COMMENT ON COLUMN registry.authorities.digest IS 'SHA-256 of the certificates.';
COMMENT ON COLUMN registry.authorities.certificates IS 'PEM.';
GRANT SELECT ON registry.authorities TO dailycare_api;

ALTER TABLE registry.tenants
    ADD COLUMN tls_authority bytea CONSTRAINT tenants_tls_authority_fkey REFERENCES registry.authorities;
CREATE INDEX tenants_tls_authority_idx ON registry.tenants (tls_authority) WHERE tls_authority IS NOT NULL;
CREATE INDEX tenants_tls_ca_idx ON registry.tenants (id) WHERE tls_ca IS NOT NULL;
COMMENT ON COLUMN registry.tenants.tls_authority IS
    'The server''s certificate authority, which the API cannot read from Kubernetes; kept by a trigger; null: none is asked for.';
COMMENT ON COLUMN registry.tenants.tls_ca IS
    'Where a writer puts the authority''s certificates (PEM). They go to registry.authorities; here they stay only while registry.keeps_former_authorities().';

-- An API of the former release reads tls_ca. Where one may run beside this release, because there are tenants already, the column stays filled for a day.
DO $$
DECLARE
    until timestamptz := now() + CASE WHEN EXISTS (SELECT FROM registry.tenants) THEN interval '1 day' ELSE interval '0' END;
BEGIN
    EXECUTE format(
        'CREATE FUNCTION registry.keeps_former_authorities() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp '
        'AS %L', format('SELECT now() < timestamptz ''epoch'' + interval ''1 second'' * %s', ceil(extract(epoch FROM until))));
END
$$;
COMMENT ON FUNCTION registry.keeps_former_authorities() IS 'Whether tenants.tls_ca stays filled, for an API of the former release: for a day from this migration.';

CREATE FUNCTION registry.file_authority() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    IF NEW.is_deleted THEN
        NEW.tls_ca := NULL;
    END IF;
    IF NEW.is_deleted OR NEW.tls_mode IS NULL OR NEW.tls_mode NOT LIKE 'verify-%' THEN
        NEW.tls_authority := NULL;
    ELSIF NEW.tls_ca IS NOT NULL THEN
        NEW.tls_authority := sha256(convert_to(NEW.tls_ca, 'UTF8'));
        -- Writers of tenants take turns, so nobody removes it before the row refers to it.
        INSERT INTO registry.authorities (digest, certificates) VALUES (NEW.tls_authority, NEW.tls_ca) ON CONFLICT DO NOTHING;
        IF NOT registry.keeps_former_authorities() THEN
            NEW.tls_ca := NULL;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.file_authority() IS 'Moves the certificates that a writer puts into tls_ca to registry.authorities, and refers to them.';

CREATE FUNCTION registry.remove_unused_authority() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    DELETE FROM registry.authorities a
    WHERE a.digest = OLD.tls_authority AND NOT EXISTS (SELECT FROM registry.tenants t WHERE t.tls_authority = a.digest);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION registry.remove_unused_authority() IS 'Removes a list of certificates with the last tenant that referred to it.';

-- Before the trigger that compares epochs knows the new column: filing what is there changes no route.
CREATE TRIGGER tenants_file_authority BEFORE INSERT OR UPDATE ON registry.tenants
    FOR EACH ROW EXECUTE FUNCTION registry.file_authority();
UPDATE registry.tenants SET tls_ca = tls_ca WHERE tls_ca IS NOT NULL;

CREATE OR REPLACE FUNCTION registry.number_tenant_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    NEW.change_seq := nextval('registry.tenant_changes');
    NEW.updated_at := now();
    IF TG_OP = 'UPDATE' THEN
        NEW.epoch := OLD.epoch
            + ((NEW.state, NEW.server, NEW.host, NEW.port, NEW.database_name, NEW.login, NEW.credentials,
                NEW.tls_mode, NEW.tls_authority)
               IS DISTINCT FROM
               (OLD.state, OLD.server, OLD.host, OLD.port, OLD.database_name, OLD.login, OLD.credentials,
                OLD.tls_mode, OLD.tls_authority))::int;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER tenants_remove_unused_authority AFTER UPDATE OR DELETE ON registry.tenants
    FOR EACH ROW WHEN (OLD.tls_authority IS NOT NULL) EXECUTE FUNCTION registry.remove_unused_authority();

-- Some at a time, because writers take turns.
CREATE FUNCTION registry.clear_former_authorities(most int) RETURNS bigint
    LANGUAGE sql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
    WITH cleared AS (
        UPDATE registry.tenants SET tls_ca = NULL
        WHERE NOT registry.keeps_former_authorities()
          AND id IN (SELECT id FROM registry.tenants WHERE tls_ca IS NOT NULL AND tls_authority IS NOT NULL ORDER BY id LIMIT most)
        RETURNING 1)
    SELECT count(*) FROM cleared
$$;
COMMENT ON FUNCTION registry.clear_former_authorities(int) IS 'Empties tls_ca in so many rows, once no API of the former release reads it; says in how many.';
