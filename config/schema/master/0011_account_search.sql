-- Finding an account by a name typed in a hurry, as people are found in a school's database: the same two functions (tenant/0003_name_search.sql).
-- Not stored or indexed: a search looks at one school's accounts, some hundreds at most. For the API.

CREATE FUNCTION registry.search_key(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, registry, pg_temp
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
COMMENT ON FUNCTION registry.search_key(text) IS 'A name without case, accents and punctuation; app.search_key of a school''s database.';
GRANT EXECUTE ON FUNCTION registry.search_key(text) TO dailycare_api;

CREATE FUNCTION registry.search_query(term text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, registry, pg_temp
AS $$
    SELECT to_tsquery('pg_catalog.simple', string_agg(quote_literal(word) || ':*', ' & '))
    FROM regexp_split_to_table(registry.search_key(term), ' ') AS word
    WHERE word <> ''
$$;
COMMENT ON FUNCTION registry.search_query(text) IS
    'Every word of the term as a prefix, in any order: to_tsvector(''pg_catalog.simple'', registry.search_key(name)) @@ registry.search_query($1). Null (finds nothing) when the term has no word.';
GRANT EXECUTE ON FUNCTION registry.search_query(text) TO dailycare_api;
