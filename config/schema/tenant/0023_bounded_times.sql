-- Dates and times that PostgreSQL allows and programs cannot read (infinity, years beyond 9999 or before 1), and times of day that are no plain list: refused
-- from now on, whoever writes them. One such row would otherwise spoil the whole list that it is in. For the API and for every other client of the school.
-- NOT VALID: rows that are there are not looked at, so that no table is locked for longer than a moment; the next file does.

DO $$
DECLARE
    bounded record;
BEGIN
    -- Every date and time that the school's login may write, but those that a trigger keeps (the stamps) or another constraint bounds already
    -- (children.birth_date, activities.ended_at by started_at).
    FOR bounded IN
        SELECT t.name AS relation, c.name AS column_name, c.name ~ '_(at)$' AS moment
        FROM (VALUES
            ('access_audit',               '{occurred_at}'),
            ('activities',                 '{started_at,deleted_at}'),
            ('allergies',                  '{diagnosed_on,deleted_at}'),
            ('child_guardians',            '{pick_up_until}'),
            ('children',                   '{deleted_at}'),
            ('classes',                    '{deleted_at}'),
            ('enrolments',                 '{starts_on,ends_on,deleted_at}'),
            ('guardians',                  '{deleted_at}'),
            ('idempotency_keys',           '{expires_at}'),
            ('incidents',                  '{occurred_at,guardians_notified_at,closed_at,deleted_at}'),
            ('medication_administrations', '{administered_at,deleted_at}'),
            ('medications',                '{authorised_from,authorised_until,deleted_at}'),
            ('staff',                      '{starts_on,ends_on,first_aid_certified_until,deleted_at}'),
            ('staff_assignments',          '{starts_on,ends_on,deleted_at}'),
            ('vaccinations',               '{due_on,given_on,deleted_at}')
        ) AS t (name, columns), unnest(t.columns::text[]) AS c (name)
    LOOP
        EXECUTE format(
            'ALTER TABLE app.%1$I ADD CONSTRAINT %2$I CHECK (%3$I >= %4$s AND %3$I < %5$s) NOT VALID',
            bounded.relation, format('%s_%s_range', bounded.relation, bounded.column_name), bounded.column_name,
            CASE WHEN bounded.moment THEN '''0001-01-02 00:00:00+00''::timestamptz' ELSE '''0001-01-01''::date' END,
            -- A day less for moments: in every time zone their day has a year of four digits.
            CASE WHEN bounded.moment THEN '''9999-12-31 00:00:00+00''::timestamptz' ELSE '''10000-01-01''::date' END);
    END LOOP;
END
$$;

ALTER TABLE app.medications ADD CONSTRAINT medications_times_of_day_format CHECK (
    CASE WHEN array_ndims(times_of_day) > 1 THEN false
         ELSE array_position(times_of_day, NULL) IS NULL AND '24:00' <> ALL (times_of_day) END) NOT VALID;
