-- RGPD erasure of a child, with a trail. The school's login may not DELETE people: this function is the only way,
-- it works in two steps (soft delete first), and it always writes down that it was done.

CREATE TABLE app.erasures (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    child_id   uuid        NOT NULL,
    reason     text        NOT NULL CONSTRAINT erasures_reason_length CHECK (char_length(btrim(reason)) BETWEEN 1 AND 1000),
    erased     jsonb       NOT NULL,
    erased_at  timestamptz NOT NULL DEFAULT now(),
    erased_by  uuid
);
COMMENT ON TABLE app.erasures IS 'What was erased for whom and why: identifiers and counts, no personal data. Written only by app.erase_child.';
COMMENT ON COLUMN app.erasures.child_id IS 'The id that the child had; it names nobody any more.';
COMMENT ON COLUMN app.erasures.erased IS 'Rows erased, by table.';
CREATE INDEX erasures_erased_at_idx ON app.erasures (erased_at DESC, id DESC);
GRANT SELECT ON app.erasures TO tenant_app;

-- SECURITY DEFINER because the caller holds no DELETE; pinned search_path, no dynamic SQL.
CREATE FUNCTION app.erase_child(erased_child uuid, erasure_reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, app, pg_temp
AS $$
DECLARE
    adults uuid[];
    counts jsonb;
    adults_erased int;
BEGIN
    PERFORM 1 FROM app.children c WHERE c.id = erased_child AND c.deleted_at IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only a child that exists and is already deleted (soft) can be erased'
            USING ERRCODE = 'SA002', SCHEMA = 'app', TABLE = 'children';
    END IF;

    SELECT coalesce(array_agg(guardian_id), '{}') INTO adults FROM app.child_guardians WHERE child_id = erased_child;
    SELECT jsonb_build_object(
        'children', 1,
        'enrolments', (SELECT count(*) FROM app.enrolments WHERE child_id = erased_child),
        'activities', (SELECT count(*) FROM app.activities WHERE child_id = erased_child),
        'allergies', (SELECT count(*) FROM app.allergies WHERE child_id = erased_child),
        'medications', (SELECT count(*) FROM app.medications WHERE child_id = erased_child),
        'medication_administrations', (SELECT count(*) FROM app.medication_administrations WHERE child_id = erased_child),
        'vaccinations', (SELECT count(*) FROM app.vaccinations WHERE child_id = erased_child),
        'incidents', (SELECT count(*) FROM app.incidents WHERE child_id = erased_child)) INTO counts;
    DELETE FROM app.children WHERE id = erased_child;

    -- Adults known only through this child go with it.
    DELETE FROM app.guardians g
    WHERE g.id = ANY (adults)
      AND NOT EXISTS (SELECT 1 FROM app.child_guardians cg WHERE cg.guardian_id = g.id)
      AND NOT EXISTS (SELECT 1 FROM app.medications m WHERE m.authorised_by = g.id);
    GET DIAGNOSTICS adults_erased = ROW_COUNT;

    counts := counts || jsonb_build_object('guardians', adults_erased);
    INSERT INTO app.erasures (child_id, reason, erased, erased_by)
    VALUES (erased_child, erasure_reason, counts, app.current_user_id());
    RETURN counts;
END
$$;
COMMENT ON FUNCTION app.erase_child(uuid, text) IS
    'Erases a soft-deleted child, all rows about it and the guardians of no other child; returns and records the counts. SA002 when there is no such child.';
GRANT EXECUTE ON FUNCTION app.erase_child(uuid, text) TO tenant_app;
