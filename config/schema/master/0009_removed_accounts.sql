-- What is personal of accounts that were removed before removing did this itself: for RGPD, article 17. The same as the API's DELETE of an account.
-- A row stays because others name its id; a member of the staff keeps its name, so that an audit can still say who did something.

UPDATE registry.users SET
    email         = id || '@removed.invalid',
    phone_number  = NULL,
    password_hash = '!',
    name          = CASE WHEN role = 'Guardian' THEN '-' ELSE name END
WHERE is_deleted AND tenant_id IS NOT NULL;

COMMENT ON COLUMN registry.users.is_deleted IS
    'Removed: nobody signs in with it. Its e-mail address, telephone, password and, of a Guardian, its name are gone.';
