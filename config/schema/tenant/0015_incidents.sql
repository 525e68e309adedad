-- Falls, bites, fevers: what happened, what was done, and when the guardians were told.

CREATE TABLE app.incidents (
    id                    uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id              uuid        NOT NULL CONSTRAINT incidents_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    class_id              uuid        CONSTRAINT incidents_class_id_fkey REFERENCES app.classes,
    occurred_at           timestamptz NOT NULL,
    kind                  text        NOT NULL
        CONSTRAINT incidents_kind_known CHECK (kind IN
            ('fall', 'bump', 'cut', 'bite', 'burn', 'choking', 'illness', 'allergic_reaction', 'behaviour', 'missing', 'other')),
    severity              text        NOT NULL
        CONSTRAINT incidents_severity_known CHECK (severity IN ('minor', 'moderate', 'serious')),
    location              text        CONSTRAINT incidents_location_length CHECK (char_length(location) <= 200),
    description           text        NOT NULL
        CONSTRAINT incidents_description_length CHECK (char_length(btrim(description)) BETWEEN 1 AND 4000),
    action_taken          text        CONSTRAINT incidents_action_taken_length CHECK (char_length(action_taken) <= 4000),
    reported_by           uuid        CONSTRAINT incidents_reported_by_fkey REFERENCES app.staff,
    guardians_notified_at timestamptz,
    closed_at             timestamptz,
    deleted_at            timestamptz,
    CONSTRAINT incidents_guardians_notified_at_order CHECK (guardians_notified_at >= occurred_at),
    CONSTRAINT incidents_closed_at_order CHECK (closed_at >= occurred_at)
);
COMMENT ON TABLE app.incidents IS 'An accident, illness or other event of concern, for one child; an event with two children is two rows.';
COMMENT ON COLUMN app.incidents.class_id IS 'The class at that moment; kept when the child moves on.';
COMMENT ON COLUMN app.incidents.closed_at IS 'When nothing more was to be done about it.';
SELECT app.stamp_table('app.incidents');

CREATE INDEX incidents_occurred_at_idx ON app.incidents (occurred_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX incidents_child_id_idx ON app.incidents (child_id, occurred_at DESC, id DESC);
CREATE INDEX incidents_class_id_idx ON app.incidents (class_id, occurred_at DESC, id DESC);
CREATE INDEX incidents_reported_by_idx ON app.incidents (reported_by) WHERE reported_by IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON app.incidents TO tenant_app;
