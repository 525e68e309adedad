-- What the operator did at a person's request to a school's administrator, so that one request is acted on once, whatever dies or is applied again.

ALTER TABLE registry.tenants ADD COLUMN admin_reset text
    CONSTRAINT tenants_admin_reset_format CHECK (admin_reset ~ '^[A-Za-z0-9.:+_-]{1,63}$');
COMMENT ON COLUMN registry.tenants.admin_reset IS
    'The request for another password of the school''s administrator that was acted on last: the value of the annotation dailycare.io/reset-admin-password.';
