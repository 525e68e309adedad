-- Finding a person by a name typed in a hurry ("joao ines" finds "João Inês"), without an extension.
-- Tables keep `search_name` = app.search_key(full_name) COLLATE "C": the same on every server whatever its locale,
-- sorted without accents, and usable by a plain index for a prefix (LIKE) and for keyset pages.

CREATE FUNCTION app.search_key(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
AS $$
    SELECT btrim(regexp_replace(
        lower(
            translate(
                replace(replace(replace(replace(replace(replace(replace(replace(replace(
                    -- Compatibility decomposition splits é into e and an accent; accents and apostrophes then go.
                    regexp_replace(normalize(name, NFKD), '[\u0300-\u036f''\u2018\u2019`]', '', 'g'),
                    'ß', 'ss'), 'ẞ', 'ss'), 'æ', 'ae'), 'Æ', 'ae'), 'œ', 'oe'), 'Œ', 'oe'), 'þ', 'th'), 'Þ', 'th'), 'ŉ', 'n'),
                -- Letters without a decomposition, then the Cyrillic capitals that lower() leaves alone under "C".
                'øØłŁđĐðÐħĦıŧŦАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЄҐЂЈЉЊЋЏ',
                'oollddddhhittабвгдежзиклмнопрстуфхцчшщъыьэюяієґђјљњћџ')
            COLLATE "C"),
        '[\s\\_.,;:/()&|!*<>"-]+', ' ', 'g'))
$$;
COMMENT ON FUNCTION app.search_key(text) IS
    'A name without case, accents and punctuation. Stored in generated columns: never change it, add a successor and new columns.';
GRANT EXECUTE ON FUNCTION app.search_key(text) TO tenant_app;

CREATE FUNCTION app.search_query(term text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, app, pg_temp
AS $$
    SELECT to_tsquery('pg_catalog.simple', string_agg(quote_literal(word) || ':*', ' & '))
    FROM regexp_split_to_table(app.search_key(term), ' ') AS word
    WHERE word <> ''
$$;
COMMENT ON FUNCTION app.search_query(text) IS
    'Every word of the term as a prefix, in any order: to_tsvector(''pg_catalog.simple'', search_name) @@ app.search_query($1). Null (finds nothing) when the term has no word.';
GRANT EXECUTE ON FUNCTION app.search_query(text) TO tenant_app;
