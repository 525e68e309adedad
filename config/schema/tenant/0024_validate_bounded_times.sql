-- Looks at the rows from before the bounds of the file before. Where infinity means the same as no value, it becomes no value; a constraint that some other row
-- breaks stays NOT VALID: it holds for everything written from now on, and the API reads such rows as well as it can.
-- A person finds them: SELECT conrelid::regclass, conname FROM pg_constraint WHERE NOT convalidated AND connamespace = 'app'::regnamespace;

UPDATE app.enrolments        SET ends_on       = NULL WHERE ends_on       = 'infinity';
UPDATE app.child_guardians   SET pick_up_until = NULL WHERE pick_up_until = 'infinity';
UPDATE app.staff             SET ends_on       = NULL WHERE ends_on       = 'infinity';
UPDATE app.staff_assignments SET ends_on       = NULL WHERE ends_on       = 'infinity';

DO $$
DECLARE
    bound record;
BEGIN
    FOR bound IN
        SELECT c.conrelid::regclass AS relation, c.conname AS name FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
        WHERE c.connamespace = 'app'::regnamespace AND c.contype = 'c' AND NOT c.convalidated AND NOT r.relispartition
          AND (c.conname ~ '_range$' OR c.conname = 'medications_times_of_day_format')
        ORDER BY 1, 2
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', bound.relation, bound.name);
        EXCEPTION WHEN check_violation THEN
            RAISE NOTICE '% of % stays without validation', bound.name, bound.relation;
        END;
    END LOOP;
END
$$;
