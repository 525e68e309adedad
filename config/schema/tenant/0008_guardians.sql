-- The adults of a child: whom to call, who may collect, who may sign in as Guardian.

CREATE TABLE app.guardians (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    full_name        text NOT NULL
        CONSTRAINT guardians_full_name_length CHECK (char_length(btrim(full_name)) BETWEEN 1 AND 200),
    search_name      text COLLATE "C" NOT NULL GENERATED ALWAYS AS (app.search_key(full_name)) STORED,
    email            text CONSTRAINT guardians_email_format CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND char_length(email) <= 200),
    phone_number     text CONSTRAINT guardians_phone_number_format CHECK (phone_number ~ '^\+?[0-9 ()-]{5,30}$'),
    tax_number       text CONSTRAINT guardians_tax_number_length CHECK (char_length(tax_number) BETWEEN 1 AND 30),
    address          text CONSTRAINT guardians_address_length CHECK (char_length(address) <= 500),
    preferred_locale text CONSTRAINT guardians_preferred_locale_format CHECK (preferred_locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    user_id          uuid,
    deleted_at       timestamptz
);
COMMENT ON TABLE app.guardians IS 'A parent or another adult responsible for, or trusted with, children of the school.';
COMMENT ON COLUMN app.guardians.user_id IS 'registry.users.id in the master database when this guardian may sign in.';
SELECT app.stamp_table('app.guardians');

CREATE UNIQUE INDEX guardians_user_id_key ON app.guardians (user_id) WHERE deleted_at IS NULL;
CREATE INDEX guardians_search_name_idx ON app.guardians (search_name, id) WHERE deleted_at IS NULL;
CREATE INDEX guardians_search_words_idx ON app.guardians
    USING gin (to_tsvector('pg_catalog.simple'::regconfig, search_name)) WHERE deleted_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON app.guardians TO tenant_app;

CREATE TABLE app.child_guardians (
    child_id             uuid     NOT NULL
        CONSTRAINT child_guardians_child_id_fkey REFERENCES app.children ON DELETE CASCADE,
    guardian_id          uuid     NOT NULL CONSTRAINT child_guardians_guardian_id_fkey REFERENCES app.guardians,
    relation             text     NOT NULL
        CONSTRAINT child_guardians_relation_known CHECK (relation IN
            ('mother', 'father', 'grandparent', 'sibling', 'relative', 'legal_guardian', 'foster_parent', 'other')),
    has_custody          boolean  NOT NULL DEFAULT false,
    may_pick_up          boolean  NOT NULL DEFAULT false,
    pick_up_until        date,
    is_emergency_contact boolean  NOT NULL DEFAULT false,
    contact_order        smallint NOT NULL DEFAULT 1
        CONSTRAINT child_guardians_contact_order_range CHECK (contact_order BETWEEN 1 AND 20),
    PRIMARY KEY (child_id, guardian_id),
    CONSTRAINT child_guardians_pick_up_until_allowed CHECK (pick_up_until IS NULL OR may_pick_up)
);
COMMENT ON TABLE app.child_guardians IS 'What a guardian is to a child and may do for it.';
COMMENT ON COLUMN app.child_guardians.pick_up_until IS 'Last day on which the permission to collect holds; null: until it is withdrawn.';
COMMENT ON COLUMN app.child_guardians.contact_order IS 'Whom to call first; equal numbers have no order.';
SELECT app.stamp_table('app.child_guardians');

CREATE INDEX child_guardians_guardian_id_idx ON app.child_guardians (guardian_id);
CREATE INDEX child_guardians_pick_up_until_idx ON app.child_guardians (pick_up_until) WHERE pick_up_until IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON app.child_guardians TO tenant_app;
