-- What a child did and had today: meals, naps, nappies, play, observations. The busiest table of a school
-- (about ten rows a child a day), read as "this child's day" and "this class's day", newest first.

CREATE TABLE app.activities (
    id                   uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id             uuid        NOT NULL CONSTRAINT activities_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    class_id             uuid        CONSTRAINT activities_class_id_fkey REFERENCES app.classes,
    kind                 text        NOT NULL
        CONSTRAINT activities_kind_known CHECK (kind IN ('meal', 'nap', 'nappy', 'play', 'observation')),
    started_at           timestamptz NOT NULL,
    ended_at             timestamptz,
    meal                 text
        CONSTRAINT activities_meal_known CHECK (meal IN
            ('breakfast', 'morning_snack', 'lunch', 'afternoon_snack', 'dinner', 'bottle')),
    meal_eaten           text
        CONSTRAINT activities_meal_eaten_known CHECK (meal_eaten IN ('none', 'little', 'half', 'most', 'all')),
    bottle_ml            smallint    CONSTRAINT activities_bottle_ml_range CHECK (bottle_ml BETWEEN 0 AND 1000),
    nap_quality          text
        CONSTRAINT activities_nap_quality_known CHECK (nap_quality IN ('calm', 'restless', 'did_not_sleep')),
    nappy                text        CONSTRAINT activities_nappy_known CHECK (nappy IN ('dry', 'wet', 'soiled', 'both')),
    title                text        CONSTRAINT activities_title_length CHECK (char_length(btrim(title)) BETWEEN 1 AND 200),
    notes                text        CONSTRAINT activities_notes_length CHECK (char_length(notes) <= 4000),
    details              jsonb       NOT NULL DEFAULT '{}',
    visible_to_guardians boolean     NOT NULL DEFAULT true,
    batch_id             uuid,
    deleted_at           timestamptz,
    CONSTRAINT activities_ended_at_order CHECK (ended_at >= started_at),
    CONSTRAINT activities_ended_at_range CHECK (ended_at <= started_at + interval '24 hours'),
    CONSTRAINT activities_meal_required CHECK ((kind = 'meal') = (meal IS NOT NULL)),
    CONSTRAINT activities_meal_eaten_allowed CHECK (meal_eaten IS NULL OR kind = 'meal'),
    CONSTRAINT activities_bottle_ml_allowed CHECK (bottle_ml IS NULL OR meal IS NOT DISTINCT FROM 'bottle'),
    CONSTRAINT activities_nap_quality_allowed CHECK (nap_quality IS NULL OR kind = 'nap'),
    CONSTRAINT activities_nappy_required CHECK ((kind = 'nappy') = (nappy IS NOT NULL)),
    CONSTRAINT activities_title_required CHECK (kind <> 'play' OR title IS NOT NULL),
    CONSTRAINT activities_notes_required CHECK (kind <> 'observation' OR notes IS NOT NULL),
    CONSTRAINT activities_details_type CHECK (jsonb_typeof(details) = 'object'),
    CONSTRAINT activities_details_length CHECK (octet_length(details::text) <= 8192)
);
COMMENT ON TABLE app.activities IS 'One thing in a child''s day. Columns beyond the common ones belong to one kind, by constraint.';
COMMENT ON COLUMN app.activities.class_id IS 'The class at that moment; kept when the child moves on.';
COMMENT ON COLUMN app.activities.ended_at IS 'Null for a moment (nappy) and while a nap or play goes on.';
COMMENT ON COLUMN app.activities.details IS 'What has no column: menu, materials, development areas. Nothing is decided by it.';
COMMENT ON COLUMN app.activities.batch_id IS 'The same for all rows of one entry for a whole class, so that it can be corrected as one.';
SELECT app.stamp_table('app.activities');

CREATE INDEX activities_child_id_idx ON app.activities (child_id, started_at DESC, id DESC);
CREATE INDEX activities_class_id_idx ON app.activities (class_id, started_at DESC, id DESC);
CREATE INDEX activities_started_at_idx ON app.activities (started_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX activities_batch_id_idx ON app.activities (batch_id) WHERE batch_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON app.activities TO tenant_app;
