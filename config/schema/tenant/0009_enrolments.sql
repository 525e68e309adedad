-- Which child is in which class, over time: for class lists of today and of any past day.
-- A child is in at most one class on any day.

CREATE TABLE app.enrolments (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id   uuid NOT NULL CONSTRAINT enrolments_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    class_id   uuid NOT NULL CONSTRAINT enrolments_class_id_fkey REFERENCES app.classes,
    starts_on  date NOT NULL,
    ends_on    date,
    deleted_at timestamptz,
    CONSTRAINT enrolments_ends_on_order CHECK (ends_on >= starts_on)
);
COMMENT ON TABLE app.enrolments IS 'A child''s stay in a class.';
COMMENT ON COLUMN app.enrolments.ends_on IS 'Last day in the class; null: no end known.';
SELECT app.stamp_table('app.enrolments');

CREATE INDEX enrolments_child_id_idx ON app.enrolments (child_id, starts_on DESC);
CREATE INDEX enrolments_class_id_idx ON app.enrolments (class_id, starts_on);

-- An exclusion constraint on (child_id, daterange) would need the extension btree_gist.
CREATE FUNCTION app.refuse_enrolment_overlap() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, app, pg_temp
AS $$
BEGIN
    -- Two transactions that enrol the same child take turns here; the second one then sees the first one's row
    -- (each statement of a READ COMMITTED transaction has its own snapshot).
    PERFORM 1 FROM app.children c WHERE c.id = NEW.child_id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT 1 FROM app.enrolments e
        WHERE e.child_id = NEW.child_id AND e.id <> NEW.id AND e.deleted_at IS NULL
          AND daterange(e.starts_on, e.ends_on, '[]') && daterange(NEW.starts_on, NEW.ends_on, '[]'))
    THEN
        RAISE EXCEPTION 'the child is already enrolled in these days'
            USING ERRCODE = 'exclusion_violation', SCHEMA = 'app', TABLE = 'enrolments',
                  CONSTRAINT = 'enrolments_starts_on_overlap';
    END IF;
    RETURN NULL;
END
$$;
-- AFTER, so that the row's own constraints speak first (a reversed range is not an overlap).
CREATE TRIGGER enrolments_refuse_overlap AFTER INSERT OR UPDATE OF child_id, starts_on, ends_on, deleted_at ON app.enrolments
    FOR EACH ROW WHEN (NEW.deleted_at IS NULL) EXECUTE FUNCTION app.refuse_enrolment_overlap();

GRANT SELECT, INSERT, UPDATE ON app.enrolments TO tenant_app;
