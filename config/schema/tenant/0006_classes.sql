-- The groups of a school year ("Sala dos Girassóis, 2026"): for class lists, batch entry and staffing.

CREATE TABLE app.classes (
    id             uuid     PRIMARY KEY DEFAULT gen_random_uuid(),
    name           text     NOT NULL
        CONSTRAINT classes_name_length CHECK (char_length(btrim(name)) BETWEEN 1 AND 100),
    school_year    smallint NOT NULL
        CONSTRAINT classes_school_year_range CHECK (school_year BETWEEN 2000 AND 2100),
    room           text     CONSTRAINT classes_room_length CHECK (char_length(room) <= 100),
    min_age_months smallint CONSTRAINT classes_min_age_months_range CHECK (min_age_months BETWEEN 0 AND 144),
    max_age_months smallint CONSTRAINT classes_max_age_months_range CHECK (max_age_months BETWEEN 0 AND 144),
    capacity       smallint CONSTRAINT classes_capacity_range CHECK (capacity BETWEEN 1 AND 200),
    deleted_at     timestamptz,
    CONSTRAINT classes_max_age_months_order CHECK (max_age_months >= min_age_months)
);
COMMENT ON TABLE app.classes IS 'A group of children in one school year.';
COMMENT ON COLUMN app.classes.school_year IS 'The year in which the school year begins: 2026 is 2026/2027.';
COMMENT ON COLUMN app.classes.deleted_at IS 'Soft delete, here and in every table that has it: lists show only rows where it is null.';
SELECT app.stamp_table('app.classes');

CREATE UNIQUE INDEX classes_name_key ON app.classes (school_year, lower(name)) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.classes TO tenant_app;
