-- A child's vaccination record: what was given, and what is due. For HealthStaff.

CREATE TABLE app.vaccinations (
    id          uuid     PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id    uuid     NOT NULL CONSTRAINT vaccinations_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    vaccine     text     NOT NULL
        CONSTRAINT vaccinations_vaccine_length CHECK (char_length(btrim(vaccine)) BETWEEN 1 AND 200),
    dose_number smallint NOT NULL DEFAULT 1
        CONSTRAINT vaccinations_dose_number_range CHECK (dose_number BETWEEN 1 AND 20),
    due_on      date,
    given_on    date,
    lot_number  text     CONSTRAINT vaccinations_lot_number_length CHECK (char_length(lot_number) <= 100),
    provider    text     CONSTRAINT vaccinations_provider_length CHECK (char_length(provider) <= 200),
    notes       text     CONSTRAINT vaccinations_notes_length CHECK (char_length(notes) <= 4000),
    deleted_at  timestamptz,
    CONSTRAINT vaccinations_given_on_required CHECK (num_nonnulls(due_on, given_on) >= 1)
);
COMMENT ON TABLE app.vaccinations IS 'One dose of a vaccine: due, given, or both.';
SELECT app.stamp_table('app.vaccinations');

CREATE INDEX vaccinations_child_id_idx ON app.vaccinations (child_id);
CREATE UNIQUE INDEX vaccinations_dose_number_key ON app.vaccinations (child_id, app.search_key(vaccine), dose_number)
    WHERE deleted_at IS NULL;
CREATE INDEX vaccinations_due_on_idx ON app.vaccinations (due_on) WHERE given_on IS NULL AND deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.vaccinations TO tenant_app;
