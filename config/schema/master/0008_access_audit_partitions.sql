-- The platform's access audit by months, as each school's is: what is old can be archived and dropped a month at a time, and recent months stay small.
-- With it the request's id, by which a record is found in the log and in what the caller was answered.
-- Append-only for the API as before: it holds INSERT and SELECT on the parent and nothing on partitions.

ALTER TABLE registry.access_audit RENAME TO access_audit_before;
ALTER INDEX registry.access_audit_pkey RENAME TO access_audit_before_pkey;
DROP INDEX registry.access_audit_occurred_at_idx, registry.access_audit_tenant_id_idx, registry.access_audit_user_id_idx;

CREATE TABLE registry.access_audit (
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    tenant_id   uuid,
    user_id     uuid,
    action      text        NOT NULL CONSTRAINT access_audit_action_length CHECK (char_length(action) BETWEEN 1 AND 100),
    resource    text        NOT NULL CONSTRAINT access_audit_resource_length CHECK (char_length(resource) BETWEEN 1 AND 500),
    ip_address  inet,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    success     boolean     NOT NULL,
    reason      text        CONSTRAINT access_audit_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    request_id  text        COLLATE "C" CONSTRAINT access_audit_request_id_length CHECK (char_length(request_id) BETWEEN 1 AND 64),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE registry.access_audit IS 'Append-only for the API. Never holds bodies, tokens or passwords.';
COMMENT ON COLUMN registry.access_audit.tenant_id IS
    'The tenant of the token, or the one platform staff acted for. No foreign key: evidence outlives what it speaks of.';
COMMENT ON COLUMN registry.access_audit.user_id IS
    'Who acted, or whose account a refused login named; null when that is nobody''s.';
COMMENT ON COLUMN registry.access_audit.reason IS 'Why platform staff acted for a school; null otherwise.';
COMMENT ON COLUMN registry.access_audit.request_id IS 'The answer''s X-Request-Id; null when it was no request.';

CREATE INDEX access_audit_tenant_id_idx ON registry.access_audit (tenant_id, occurred_at DESC) WHERE tenant_id IS NOT NULL;
CREATE INDEX access_audit_user_id_idx ON registry.access_audit (user_id, occurred_at DESC) WHERE user_id IS NOT NULL;

CREATE TABLE registry.access_audit_default PARTITION OF registry.access_audit DEFAULT;
COMMENT ON TABLE registry.access_audit_default IS 'Rows of months without a partition; registry.ensure_access_audit_partitions() moves them out.';

GRANT SELECT, INSERT ON registry.access_audit TO dailycare_api;

INSERT INTO registry.access_audit (id, tenant_id, user_id, action, resource, ip_address, occurred_at, success, reason)
SELECT id, tenant_id, user_id, action, resource, ip_address, occurred_at, success, reason FROM registry.access_audit_before;
DROP TABLE registry.access_audit_before;

-- As app.ensure_access_audit_partitions of a school's database, whose reasons are the same: the API holds no DDL here. It takes one bounded number,
-- names only what it derives from dates, and its search_path is pinned.
CREATE FUNCTION registry.ensure_access_audit_partitions(months_ahead int DEFAULT 1) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, registry, pg_temp
    SET "TimeZone" = 'UTC'
    SET lock_timeout = '2s'
AS $$
DECLARE
    this_month timestamptz := date_trunc('month', now());
    missing    timestamptz[];
    month      timestamptz;
    name       text;
BEGIN
    -- One caller at a time; the others find the work done.
    PERFORM pg_advisory_xact_lock('registry.access_audit'::regclass::oid::bigint);
    missing := ARRAY(
        SELECT wanted FROM (
            SELECT generate_series(this_month, this_month + make_interval(months => least(greatest(months_ahead, 0), 12)), '1 month')
            UNION
            -- Past months that were written without a partition. Bounded both ways: a wrong clock must not make many tables.
            SELECT date_trunc('month', a.occurred_at) FROM registry.access_audit_default a
            WHERE a.occurred_at >= this_month - interval '12 months' AND a.occurred_at < this_month
        ) AS months (wanted)
        WHERE to_regclass(format('registry.access_audit_%s', to_char(wanted, '"y"YYYY"m"MM'))) IS NULL
        ORDER BY wanted);

    -- An insert already routed to the default partition would be refused once its month has moved out: let those under
    -- way finish, and hold new ones for the moment. Parent first, as inserts do. Months ahead have no inserts to wait for.
    IF this_month >= ANY (missing) THEN
        LOCK TABLE ONLY registry.access_audit IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    FOREACH month IN ARRAY missing LOOP
        name := format('access_audit_%s', to_char(month, '"y"YYYY"m"MM'));
        -- Made apart and attached: creating it in place would lock out readers of every month.
        EXECUTE format('CREATE TABLE registry.%I (LIKE registry.access_audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', name);
        LOCK TABLE registry.access_audit_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'WITH moved AS (DELETE FROM registry.access_audit_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *)
             INSERT INTO registry.%I SELECT * FROM moved',
            month, month + interval '1 month', name);
        EXECUTE format('ALTER TABLE registry.access_audit ATTACH PARTITION registry.%I FOR VALUES FROM (%L) TO (%L)',
            name, month, month + interval '1 month');
    END LOOP;
    RETURN cardinality(missing);
END
$$;
COMMENT ON FUNCTION registry.ensure_access_audit_partitions(int) IS
    'Makes the partitions of this month and of the next ones (at most 12), moves rows that waited in the default one, and says how many it made. Call it about once a day, in a transaction of its own; 55P03 (locked) means try later.';
GRANT EXECUTE ON FUNCTION registry.ensure_access_audit_partitions(int) TO dailycare_api;

DO $$
BEGIN
    PERFORM registry.ensure_access_audit_partitions(1);
END
$$;
