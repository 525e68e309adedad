-- The children: what everything else in this schema is about.
-- Rows that describe a child go with it (ON DELETE CASCADE); only app.erase_child may delete one.

CREATE TABLE app.children (
    id             uuid    PRIMARY KEY DEFAULT gen_random_uuid(),
    full_name      text    NOT NULL
        CONSTRAINT children_full_name_length CHECK (char_length(btrim(full_name)) BETWEEN 1 AND 200),
    preferred_name text    CONSTRAINT children_preferred_name_length CHECK (char_length(preferred_name) <= 100),
    search_name    text    COLLATE "C" NOT NULL GENERATED ALWAYS AS (app.search_key(full_name)) STORED,
    birth_date     date
        CONSTRAINT children_birth_date_range CHECK (birth_date BETWEEN '2000-01-01' AND '2100-12-31'),
    sex            text    CONSTRAINT children_sex_known CHECK (sex IN ('female', 'male', 'other')),
    nationality    text    CONSTRAINT children_nationality_format CHECK (nationality ~ '^[A-Z]{2}$'),
    home_language  text    CONSTRAINT children_home_language_format CHECK (home_language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    address        text    CONSTRAINT children_address_length CHECK (char_length(address) <= 500),
    photo_consent  boolean NOT NULL DEFAULT false,
    notes          text    CONSTRAINT children_notes_length CHECK (char_length(notes) <= 4000),
    deleted_at     timestamptz
);
COMMENT ON TABLE app.children IS 'A child known to the school: waiting, attending or gone (app.enrolments says which).';
COMMENT ON COLUMN app.children.search_name IS 'full_name without case and accents; sort and page by (search_name, id).';
COMMENT ON COLUMN app.children.birth_date IS 'May lie ahead: unborn children stand on waiting lists.';
COMMENT ON COLUMN app.children.nationality IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN app.children.home_language IS 'BCP 47.';
COMMENT ON COLUMN app.children.photo_consent IS 'Guardians'' consent to photographs; no consent until it is given.';
SELECT app.stamp_table('app.children');

CREATE INDEX children_search_name_idx ON app.children (search_name, id) WHERE deleted_at IS NULL;
CREATE INDEX children_search_words_idx ON app.children
    USING gin (to_tsvector('pg_catalog.simple'::regconfig, search_name)) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.children TO tenant_app;
