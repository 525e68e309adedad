-- A time zone may be unknown one day: systems move old names to a package of their own, and a server after an upgrade does not know what a school chose years ago.
-- Then the school's day goes on in Europe/Lisbon, the zone of a new school. GET /settings says so to its administrators, and the API's log and metrics to the platform.

CREATE FUNCTION app.is_time_zone(zone text) RETURNS boolean
    -- A block with EXCEPTION cannot run in a parallel worker.
    LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
    SET search_path = pg_catalog, app, pg_temp
AS $$
BEGIN
    PERFORM timestamptz 'epoch' AT TIME ZONE zone;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION app.is_time_zone(text) IS 'Whether this server knows the time zone.';
GRANT EXECUTE ON FUNCTION app.is_time_zone(text) TO tenant_app;

CREATE OR REPLACE FUNCTION app.time_zone() RETURNS text
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, app, pg_temp
    RETURN coalesce((SELECT s.value #>> '{}' FROM app.settings s
                     -- Most schools' own is the fallback: asking costs some microseconds, and a filter may ask for each row.
                     WHERE s.key = 'school.time_zone' AND (s.value = '"Europe/Lisbon"' OR app.is_time_zone(s.value #>> '{}'))), 'Europe/Lisbon');
COMMENT ON FUNCTION app.time_zone() IS
    'The IANA time zone in which this school''s days begin and end: the one that the school chose, or Europe/Lisbon if this server does not know that.';

ALTER FUNCTION app.day_of(timestamptz) PARALLEL RESTRICTED;
ALTER FUNCTION app.day_start(date) PARALLEL RESTRICTED;
