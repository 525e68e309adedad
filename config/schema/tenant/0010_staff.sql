-- The people who work at the school, and their classes: for rosters, health logs and teachers' views.

CREATE TABLE app.staff (
    id                        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    full_name                 text NOT NULL
        CONSTRAINT staff_full_name_length CHECK (char_length(btrim(full_name)) BETWEEN 1 AND 200),
    search_name               text COLLATE "C" NOT NULL GENERATED ALWAYS AS (app.search_key(full_name)) STORED,
    job_title                 text CONSTRAINT staff_job_title_length CHECK (char_length(job_title) <= 100),
    email                     text CONSTRAINT staff_email_format CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND char_length(email) <= 200),
    phone_number              text CONSTRAINT staff_phone_number_format CHECK (phone_number ~ '^\+?[0-9 ()-]{5,30}$'),
    starts_on                 date,
    ends_on                   date,
    first_aid_certified_until date,
    user_id                   uuid,
    deleted_at                timestamptz,
    CONSTRAINT staff_ends_on_order CHECK (ends_on >= starts_on)
);
COMMENT ON TABLE app.staff IS 'A person who works at the school.';
COMMENT ON COLUMN app.staff.ends_on IS 'Last day of employment; null: no end known.';
COMMENT ON COLUMN app.staff.user_id IS 'registry.users.id in the master database when this person may sign in.';
SELECT app.stamp_table('app.staff');

CREATE UNIQUE INDEX staff_user_id_key ON app.staff (user_id) WHERE deleted_at IS NULL;
CREATE INDEX staff_search_name_idx ON app.staff (search_name, id) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.staff TO tenant_app;

CREATE TABLE app.staff_assignments (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    staff_id   uuid NOT NULL CONSTRAINT staff_assignments_staff_id_fkey REFERENCES app.staff,
    class_id   uuid NOT NULL CONSTRAINT staff_assignments_class_id_fkey REFERENCES app.classes,
    duty       text NOT NULL
        CONSTRAINT staff_assignments_duty_known CHECK (duty IN ('lead', 'assistant', 'substitute', 'support')),
    starts_on  date NOT NULL,
    ends_on    date,
    deleted_at timestamptz,
    CONSTRAINT staff_assignments_ends_on_order CHECK (ends_on >= starts_on)
);
COMMENT ON TABLE app.staff_assignments IS 'Who works in which class, over time; one person may serve several classes.';
COMMENT ON COLUMN app.staff_assignments.ends_on IS 'Last day in the class; null: no end known.';
SELECT app.stamp_table('app.staff_assignments');

CREATE INDEX staff_assignments_staff_id_idx ON app.staff_assignments (staff_id, starts_on DESC);
CREATE INDEX staff_assignments_class_id_idx ON app.staff_assignments (class_id, starts_on);

GRANT SELECT, INSERT, UPDATE ON app.staff_assignments TO tenant_app;
