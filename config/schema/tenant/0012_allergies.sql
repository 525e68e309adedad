-- What a child must not meet: read by the kitchen and by every teacher, for one child and for a whole class.

CREATE TABLE app.allergies (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id     uuid NOT NULL CONSTRAINT allergies_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    allergen     text NOT NULL
        CONSTRAINT allergies_allergen_length CHECK (char_length(btrim(allergen)) BETWEEN 1 AND 200),
    kind         text NOT NULL
        CONSTRAINT allergies_kind_known CHECK (kind IN ('food', 'medication', 'insect', 'environment', 'contact', 'other')),
    severity     text NOT NULL
        CONSTRAINT allergies_severity_known CHECK (severity IN ('mild', 'moderate', 'severe')),
    reaction     text CONSTRAINT allergies_reaction_length CHECK (char_length(reaction) <= 2000),
    action_plan  text CONSTRAINT allergies_action_plan_length CHECK (char_length(action_plan) <= 4000),
    diagnosed_on date,
    deleted_at   timestamptz
);
COMMENT ON TABLE app.allergies IS 'An allergy or intolerance of a child, and what to do when it shows.';
SELECT app.stamp_table('app.allergies');

CREATE INDEX allergies_child_id_idx ON app.allergies (child_id);
CREATE UNIQUE INDEX allergies_allergen_key ON app.allergies (child_id, app.search_key(allergen)) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.allergies TO tenant_app;
