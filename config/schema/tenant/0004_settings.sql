-- What a school may set for itself: language, time zone, hours, meals. For SchoolAdmin through the API.
-- Keys are made by migrations only; a school changes values, and a value keeps its JSON type.

CREATE TABLE app.settings (
    key            text  PRIMARY KEY
        CONSTRAINT settings_key_format CHECK (key ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$'),
    value          jsonb NOT NULL,
    kind           text  NOT NULL
        CONSTRAINT settings_kind_known CHECK (kind IN ('string', 'number', 'boolean', 'array', 'object')),
    description_pt text  NOT NULL,
    description_en text  NOT NULL,
    CONSTRAINT settings_value_type CHECK (jsonb_typeof(value) = kind),
    CONSTRAINT settings_value_length CHECK (octet_length(value::text) <= 16384)
);
COMMENT ON TABLE app.settings IS 'The school''s own settings, one row a key. The API changes values; migrations add keys.';
COMMENT ON COLUMN app.settings.kind IS 'The JSON type that value must keep.';
SELECT app.stamp_table('app.settings');
GRANT SELECT, UPDATE (value) ON app.settings TO tenant_app;

CREATE FUNCTION app.time_zone() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
    RETURN coalesce((SELECT s.value #>> '{}' FROM app.settings s WHERE s.key = 'school.time_zone'), 'Europe/Lisbon');
COMMENT ON FUNCTION app.time_zone() IS 'The IANA time zone in which this school''s days begin and end.';
GRANT EXECUTE ON FUNCTION app.time_zone() TO tenant_app;

CREATE FUNCTION app.day_of(moment timestamptz) RETURNS date
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
    RETURN (moment AT TIME ZONE app.time_zone())::date;
COMMENT ON FUNCTION app.day_of(timestamptz) IS 'The school''s calendar day of a moment.';
GRANT EXECUTE ON FUNCTION app.day_of(timestamptz) TO tenant_app;

CREATE FUNCTION app.day_start(day date) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
    RETURN day::timestamp AT TIME ZONE app.time_zone();
COMMENT ON FUNCTION app.day_start(date) IS
    'When a calendar day begins at the school: started_at >= app.day_start($1) AND started_at < app.day_start($1 + 1) uses an index on started_at.';
GRANT EXECUTE ON FUNCTION app.day_start(date) TO tenant_app;
