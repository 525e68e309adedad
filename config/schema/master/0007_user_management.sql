-- Schools manage their own accounts through the API. Its role may make and change them, but never platform staff, and never move one to
-- another school: `tenant_id` is granted for INSERT alone, and what platform staff are is held by this trigger.

CREATE FUNCTION registry.guard_platform_staff() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, registry, pg_temp
AS $$
BEGIN
    IF pg_has_role(current_user, 'dailycare_operator', 'MEMBER') THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.role = 'PlatformAdmin' OR NEW.tenant_id IS NULL THEN
            RAISE EXCEPTION 'platform staff are not made here' USING ERRCODE = 'insufficient_privilege', TABLE = 'users';
        END IF;
    ELSIF (OLD.role = 'PlatformAdmin' OR NEW.role = 'PlatformAdmin')
          AND (NEW.role, NEW.name, NEW.email, NEW.phone_number, NEW.is_active, NEW.is_deleted)
              IS DISTINCT FROM (OLD.role, OLD.name, OLD.email, OLD.phone_number, OLD.is_active, OLD.is_deleted) THEN
        RAISE EXCEPTION 'platform staff are not changed here' USING ERRCODE = 'insufficient_privilege', TABLE = 'users';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION registry.guard_platform_staff() IS
    'Only members of dailycare_operator make, change or remove a PlatformAdmin; the API changes what their login changes.';

CREATE TRIGGER users_guard_platform_staff BEFORE INSERT OR UPDATE ON registry.users
    FOR EACH ROW EXECUTE FUNCTION registry.guard_platform_staff();

GRANT INSERT (tenant_id, name, email, password_hash, phone_number, role, must_change_password),
      UPDATE (name, email, phone_number, role, is_active, is_deleted)
    ON registry.users TO dailycare_api;

-- For the platform's own view of what happened.
GRANT SELECT ON registry.access_audit TO dailycare_api;

ALTER TABLE registry.access_audit ADD COLUMN reason text
    CONSTRAINT access_audit_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500);
COMMENT ON COLUMN registry.access_audit.reason IS 'Why platform staff acted for a school; null otherwise.';
COMMENT ON COLUMN registry.access_audit.user_id IS
    'Who acted, or whose account a refused login named; null when that is nobody''s.';
