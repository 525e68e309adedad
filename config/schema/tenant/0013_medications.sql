-- Medication at school: the guardian's authorisation, and the log of every dose. For HealthStaff and Teachers.
-- A dose is logged as given only while an authorisation covers its day: the database holds that line itself.

CREATE TABLE app.medications (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id         uuid NOT NULL CONSTRAINT medications_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    name             text NOT NULL
        CONSTRAINT medications_name_length CHECK (char_length(btrim(name)) BETWEEN 1 AND 200),
    dose             text NOT NULL
        CONSTRAINT medications_dose_length CHECK (char_length(btrim(dose)) BETWEEN 1 AND 200),
    route            text NOT NULL
        CONSTRAINT medications_route_known CHECK (route IN
            ('oral', 'inhaled', 'topical', 'eye', 'ear', 'nasal', 'rectal', 'injected', 'other')),
    times_of_day     time[] NOT NULL DEFAULT '{}'
        CONSTRAINT medications_times_of_day_length CHECK (cardinality(times_of_day) <= 24),
    instructions     text CONSTRAINT medications_instructions_length CHECK (char_length(instructions) <= 4000),
    prescribed_by    text CONSTRAINT medications_prescribed_by_length CHECK (char_length(prescribed_by) <= 200),
    authorised_by    uuid CONSTRAINT medications_authorised_by_fkey REFERENCES app.guardians,
    authorised_from  date,
    authorised_until date,
    deleted_at       timestamptz,
    CONSTRAINT medications_id_child_id_key UNIQUE (id, child_id),
    CONSTRAINT medications_authorised_until_order CHECK (authorised_until >= authorised_from),
    CONSTRAINT medications_authorised_by_complete CHECK (num_nulls(authorised_by, authorised_from, authorised_until) IN (0, 3))
);
COMMENT ON TABLE app.medications IS 'A medicine that a child takes at school, with the guardian''s authorisation.';
COMMENT ON COLUMN app.medications.times_of_day IS 'Local times; empty: when needed.';
COMMENT ON COLUMN app.medications.authorised_by IS 'The guardian who signed; null with both dates while it is not yet authorised.';
COMMENT ON COLUMN app.medications.authorised_until IS 'Last day that the authorisation covers; always set, so that it is asked for again.';
SELECT app.stamp_table('app.medications');

CREATE INDEX medications_child_id_idx ON app.medications (child_id);
CREATE INDEX medications_authorised_by_idx ON app.medications (authorised_by);
CREATE INDEX medications_authorised_until_idx ON app.medications (authorised_until) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.medications TO tenant_app;

CREATE TABLE app.medication_administrations (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    medication_id   uuid        NOT NULL,
    child_id        uuid        NOT NULL
        CONSTRAINT medication_administrations_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    outcome         text        NOT NULL
        CONSTRAINT medication_administrations_outcome_known CHECK (outcome IN ('given', 'refused', 'missed')),
    administered_at timestamptz NOT NULL,
    dose_given      text
        CONSTRAINT medication_administrations_dose_given_length CHECK (char_length(btrim(dose_given)) BETWEEN 1 AND 200),
    administered_by uuid        NOT NULL
        CONSTRAINT medication_administrations_administered_by_fkey REFERENCES app.staff,
    witnessed_by    uuid        CONSTRAINT medication_administrations_witnessed_by_fkey REFERENCES app.staff,
    notes           text        CONSTRAINT medication_administrations_notes_length CHECK (char_length(notes) <= 4000),
    deleted_at      timestamptz,
    -- Over both columns, so that the log cannot name another child than the medication does.
    CONSTRAINT medication_administrations_medication_id_fkey
        FOREIGN KEY (medication_id, child_id) REFERENCES app.medications (id, child_id) ON DELETE CASCADE,
    CONSTRAINT medication_administrations_dose_given_required CHECK ((outcome = 'given') = (dose_given IS NOT NULL)),
    CONSTRAINT medication_administrations_witnessed_by_distinct CHECK (witnessed_by <> administered_by)
);
COMMENT ON TABLE app.medication_administrations IS 'The log of doses: given, refused by the child, or missed.';
COMMENT ON COLUMN app.medication_administrations.administered_at IS 'When it was given, refused, or should have been given.';
SELECT app.stamp_table('app.medication_administrations');

CREATE INDEX medication_administrations_medication_id_idx
    ON app.medication_administrations (medication_id, child_id, administered_at DESC);
CREATE INDEX medication_administrations_child_id_idx ON app.medication_administrations (child_id, administered_at DESC, id DESC);
CREATE INDEX medication_administrations_administered_by_idx ON app.medication_administrations (administered_by);
CREATE INDEX medication_administrations_witnessed_by_idx ON app.medication_administrations (witnessed_by)
    WHERE witnessed_by IS NOT NULL;

CREATE FUNCTION app.require_authorisation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, app, pg_temp
AS $$
BEGIN
    -- The lock keeps the authorisation from being withdrawn between this look and the commit.
    PERFORM 1 FROM app.medications m
    WHERE m.id = NEW.medication_id AND m.deleted_at IS NULL
      AND app.day_of(NEW.administered_at) BETWEEN m.authorised_from AND m.authorised_until
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no authorisation covers this dose'
            USING ERRCODE = 'check_violation', SCHEMA = 'app', TABLE = 'medication_administrations',
                  CONSTRAINT = 'medication_administrations_administered_at_authorised';
    END IF;
    RETURN NULL;
END
$$;
-- AFTER, so that the row's own constraints (a medication that does not exist) speak first.
CREATE TRIGGER medication_administrations_require_authorisation
    AFTER INSERT OR UPDATE OF medication_id, outcome, administered_at ON app.medication_administrations
    FOR EACH ROW WHEN (NEW.outcome = 'given') EXECUTE FUNCTION app.require_authorisation();

GRANT SELECT, INSERT, UPDATE ON app.medication_administrations TO tenant_app;
