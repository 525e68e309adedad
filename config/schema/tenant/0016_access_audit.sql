-- Who read and wrote what, from where, and who was refused: evidence for the school, kept and erased with it.
-- Append-only for the school's login, which holds INSERT and SELECT on the parent and only SELECT on partitions.
-- Partitions are months (UTC). The default partition takes whatever has none, so an insert never fails for want of one.

CREATE TABLE app.access_audit (
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    tenant_id   uuid        NOT NULL,
    user_id     uuid,
    action      text        NOT NULL CONSTRAINT access_audit_action_length CHECK (char_length(action) BETWEEN 1 AND 100),
    resource    text        COLLATE "C" NOT NULL CONSTRAINT access_audit_resource_length CHECK (char_length(resource) BETWEEN 1 AND 500),
    ip_address  inet,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    success     boolean     NOT NULL,
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE app.access_audit IS 'One row an access or a refusal. Never holds bodies, tokens or personal names.';
COMMENT ON COLUMN app.access_audit.tenant_id IS 'The id in the master database, written though the database is the tenant''s own: evidence must stand alone.';
COMMENT ON COLUMN app.access_audit.user_id IS 'registry.users.id in the master database; null when nobody was authenticated.';
COMMENT ON COLUMN app.access_audit.resource IS 'What was asked for, e.g. children/<uuid>; prefixes find all accesses to one thing.';
COMMENT ON COLUMN app.access_audit.occurred_at IS 'The request''s moment (the seed''s Timestamp); rows of a batch are written a little later.';

CREATE INDEX access_audit_user_id_idx ON app.access_audit (user_id, occurred_at DESC, id DESC);
CREATE INDEX access_audit_resource_idx ON app.access_audit (resource, occurred_at DESC, id DESC);

CREATE TABLE app.access_audit_default PARTITION OF app.access_audit DEFAULT;
COMMENT ON TABLE app.access_audit_default IS 'Rows of months without a partition; app.ensure_access_audit_partitions() moves them out.';

GRANT SELECT, INSERT ON app.access_audit TO tenant_app;

-- SECURITY DEFINER because the school's login holds no DDL, and nobody else visits a school at rest. It takes one
-- bounded number, names only what it derives from dates, and its search_path is pinned.
CREATE FUNCTION app.ensure_access_audit_partitions(months_ahead int DEFAULT 1) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, app, pg_temp
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
    PERFORM pg_advisory_xact_lock('app.access_audit'::regclass::oid::bigint);
    missing := ARRAY(
        SELECT wanted FROM (
            SELECT generate_series(this_month, this_month + make_interval(months => least(greatest(months_ahead, 0), 12)), '1 month')
            UNION
            -- Past months that were written without a partition. Bounded both ways: a wrong clock must not make many tables.
            SELECT date_trunc('month', a.occurred_at) FROM app.access_audit_default a
            WHERE a.occurred_at >= this_month - interval '12 months' AND a.occurred_at < this_month
        ) AS months (wanted)
        WHERE to_regclass(format('app.access_audit_%s', to_char(wanted, '"y"YYYY"m"MM'))) IS NULL
        ORDER BY wanted);

    -- An insert already routed to the default partition would be refused once its month has moved out: let those under
    -- way finish, and hold new ones for the moment. Parent first, as inserts do. Months ahead have no inserts to wait for.
    IF this_month >= ANY (missing) THEN
        LOCK TABLE ONLY app.access_audit IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    FOREACH month IN ARRAY missing LOOP
        name := format('access_audit_%s', to_char(month, '"y"YYYY"m"MM'));
        -- Made apart and attached: creating it in place would lock out readers of every month.
        EXECUTE format('CREATE TABLE app.%I (LIKE app.access_audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', name);
        LOCK TABLE app.access_audit_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'WITH moved AS (DELETE FROM app.access_audit_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *)
             INSERT INTO app.%I SELECT * FROM moved',
            month, month + interval '1 month', name);
        EXECUTE format('ALTER TABLE app.access_audit ATTACH PARTITION app.%I FOR VALUES FROM (%L) TO (%L)',
            name, month, month + interval '1 month');
    END LOOP;
    RETURN cardinality(missing);
END
$$;
COMMENT ON FUNCTION app.ensure_access_audit_partitions(int) IS
    'Makes the partitions of this month and of the next ones (at most 12), moves rows that waited in the default one, and says how many it made. Call it about once a day, in a transaction of its own; 55P03 (locked) means try later.';
GRANT EXECUTE ON FUNCTION app.ensure_access_audit_partitions(int) TO tenant_app;
